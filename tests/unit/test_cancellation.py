"""Waiting loops end when they are cancelled, even at the moment when the awaited event happens."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

import headway
from headway.server.services.live_job import LiveJob

pytestmark = pytest.mark.anyio


async def test_a_cancellation_is_not_swallowed_by_a_simultaneous_event() -> None:
    """On Python 3.11 asyncio.wait_for swallows such a cancellation, so a server would never end."""
    live = LiveJob()

    async def for_ever() -> None:
        while True:
            await live.wait(60.0)

    task = asyncio.create_task(for_ever())
    await asyncio.sleep(0)
    live.end()  # the wait is over
    await asyncio.sleep(0)
    task.cancel()  # before the loop notices
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()


def test_nothing_waits_by_wait_for() -> None:
    package = Path(headway.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "wait_for"), (path, node.lineno)
