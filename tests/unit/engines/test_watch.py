"""The watch loop, by a scripted API and without waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from headway.engines.kubernetes.api import PODS, Listed, Object, Refusal, Resource, WatchEvent
from headway.engines.kubernetes.watch import SILENCE_SECONDS, Watch
from headway.errors import SettingInvalid, Unavailable

pytestmark = pytest.mark.anyio
AWAY = Unavailable("The API of Kubernetes at x does not answer: x")
EXPIRED = Refusal(410, "Expired", "too old resource version")


def thing(name: str, version: str) -> Object:
    return {"metadata": {"name": name, "resourceVersion": version}}


class End(BaseException):
    """Ends the loop of a test once the script is over."""


class ScriptedApi:
    """Answers each list and each watch as the script says, and keeps what was asked."""

    def __init__(self, *script: Any) -> None:
        self._script = [*script]
        self.asked: list[str] = []

    async def list(self, resource: Resource, selector: dict[str, str]) -> Listed:
        self.asked.append("list")
        step = self._next()
        return Listed(tuple(step[1:]), step[0])

    async def watch(
        self, resource: Resource, selector: dict[str, str], version: str, silence_seconds: float
    ) -> AsyncIterator[WatchEvent]:
        assert silence_seconds == SILENCE_SECONDS
        self.asked.append(f"watch {version}")
        for event in self._next():
            if isinstance(event, Exception):
                raise event
            yield WatchEvent(*event)

    def _next(self) -> Any:
        if not self._script:
            raise End
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


class Notes:
    def __init__(self) -> None:
        self.told: list[str] = []

    def listing(self) -> None:
        pass

    def listed(self, objects: Sequence[Object]) -> None:
        self.told.append("listed " + " ".join(one["metadata"]["name"] for one in objects))

    def changed(self, seen: Object) -> None:
        self.told.append(f"changed {seen['metadata']['name']}")

    def deleted(self, last: Object) -> None:
        self.told.append(f"deleted {last['metadata']['name']}")

    def troubled(self, sentence: str | None) -> None:
        self.told.append("answers again" if sentence is None else "troubled")


async def play(*script: Any) -> tuple[list[str], list[str], list[float]]:
    """What was asked, what was told, and how long was waited."""
    api, notes, waits = ScriptedApi(*script), Notes(), []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    watch = Watch(api, PODS, {}, notes, sleep=sleep)  # type: ignore[arg-type]
    with pytest.raises(End):
        await watch.run()
    return api.asked, notes.told, waits


async def test_a_watch_continues_behind_the_newest_version_that_it_saw() -> None:
    events = [("ADDED", thing("a", "6")), ("DELETED", thing("a", "7")), ("BOOKMARK", thing("", "9"))]
    asked, told, _ = await play(("5", thing("x", "1")), events, [])
    assert asked == ["list", "watch 5", "watch 9", "watch 9"]
    assert told == ["listed x", "changed a", "deleted a"]


@pytest.mark.parametrize("lost", [EXPIRED, AWAY, Refusal(500, "", "x"), SettingInvalid("x"), ValueError("a defect")])
async def test_a_watch_that_lost_its_place_lists_again(lost: Exception) -> None:
    asked, told, _ = await play(("5",), [("ADDED", thing("a", "6")), lost], ("8", thing("b", "7")))
    assert asked == ["list", "watch 5", "list", "watch 8"]
    assert told[:2] == ["listed ", "changed a"]
    assert "listed b" in told


async def test_an_expired_version_is_no_trouble_and_the_next_list_is_at_once() -> None:
    _, told, waits = await play(("5",), [EXPIRED], ("8",))
    assert told == ["listed ", "listed "]
    assert waits == []


async def test_an_api_that_is_away_is_asked_more_and_more_rarely_and_told_once() -> None:
    _, told, waits = await play(("5",), [AWAY], *[AWAY] * 8, ("8",))
    assert told == ["listed ", "troubled", "listed ", "answers again"]
    assert waits[0] == 0.0
    assert all(0.25 * 2**step <= wait <= 15 for step, wait in enumerate(waits[1:5]))
    assert 7.5 <= waits[-1] <= 15


async def test_watches_that_end_at_once_are_not_asked_for_without_a_pause() -> None:
    _, _, waits = await play(("5",), [], [], [])
    assert waits == [0.5, 0.5, 0.5]
