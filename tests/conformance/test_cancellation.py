"""Whenever work on a backend is cancelled, nothing of it stays open once the backend is closed."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from headway.backend_registry import backend
from tests.conformance.backends import run, schemes

pytestmark = pytest.mark.anyio


class Cancelled:
    """Awaits a coroutine, whose task is cancelled when it waits for the n-th time.

    `late`: what it waits for has happened by then, and the task has not heard of it.
    """

    def __init__(self, work: Coroutine[Any, Any, None], number: int, *, late: bool) -> None:
        self._work = work
        self._number = number
        self._late = late
        self.reached = False

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._work.__await__()
        proceed = lambda: next(steps)  # noqa: E731
        for number in range(sys.maxsize):
            try:
                awaited = proceed()
            except StopIteration:
                return
            if number == self._number:
                self.reached = True
                if self._late and awaited is not None:
                    awaited.add_done_callback(lambda _: task.cancel())
                else:
                    asyncio.get_running_loop().call_soon(task.cancel)
            if awaited is not None:
                awaited._asyncio_future_blocking = True
            try:
                yield awaited
                proceed = lambda: next(steps)  # noqa: E731
            except BaseException as error:
                proceed = lambda error=error: steps.throw(error)  # noqa: E731


async def cancelled(work: Coroutine[Any, Any, None], number: int, *, late: bool) -> bool:
    """Cancel the work; whether it was still at work by then."""

    async def body() -> None:
        await steps

    steps = Cancelled(work, number, late=late)
    await asyncio.gather(asyncio.create_task(body()), return_exceptions=True)
    return steps.reached


@pytest.mark.parametrize(
    ("kind", "scheme"), [("database", scheme) for scheme in schemes("database")] + [("cache", "redis")]
)
async def test_no_connection_stays_open_whenever_its_use_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str
) -> None:
    found: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: found.append(str(unraisable.exc_value)))
    arguments = (1 << 20,) if kind == "cache" else ()
    async with run(kind, scheme, tmp_path) as url:
        one: Any = backend(kind, url)(url, *arguments)
        await one.open()  # the schema is there from now on
        await one.close()
        number = 0
        while True:
            one = backend(kind, url)(url, *arguments)
            at_work = await cancelled(use(one), number, late=bool(number % 2))
            await one.close()
            if not at_work:
                break
            number += 1
    del one
    gc.collect()
    assert number > 5
    assert found == []


async def use(one: Any) -> None:
    await one.open()
    await (one.check() if hasattr(one, "check") else one.get("key"))
