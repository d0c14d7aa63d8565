"""Lists of jobs: labels and notes, sorting, following."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from headway.server.api.events import renderer
from headway.server.services import job_feed
from tests.api.conftest import PROJECT, USER, Api

pytestmark = pytest.mark.anyio


async def test_labels_and_notes_are_changed_and_found(api: Api) -> None:
    await api.submit(name="mine", labels={"team": "vision"}, notes="first")
    await api.submit(name="other")
    changed = await api.http.patch("/api/v1/jobs/mine", json={"labels": {"team": "audio"}})
    assert (changed.json()["labels"], changed.json()["notes"]) == ({"team": "audio"}, "first")
    await api.http.patch("/api/v1/jobs/mine", json={"notes": "second"})
    found = (await api.http.get("/api/v1/jobs", params={"label": "team=audio"})).json()["jobs"]
    assert [(job["name"], job["labels"]) for job in found] == [("mine", {"team": "audio"})]
    assert (await api.http.get("/api/v1/jobs/mine")).json()["notes"] == "second"
    bad = await api.http.patch("/api/v1/jobs/mine", json={"labels": {"a b": "c"}})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_input")
    assert (await api.http.get("/api/v1/jobs", params={"label": "team"})).status_code == 422


async def test_sorted_pages_follow_each_other(api: Api) -> None:
    for number in range(5):
        await api.submit(name=f"job{number}")
    names: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, "sort": "accuracy", **({"cursor": cursor} if cursor else {})}
        page = (await api.http.get("/api/v1/jobs", params=params)).json()
        names += [job["name"] for job in page["jobs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert names == ["job4", "job3", "job2", "job1", "job0"]
    assert (await api.http.get("/api/v1/jobs", params={"cursor": "[1"})).status_code == 422


@dataclass
class Watching:
    """Reads the stream of all jobs, from a cursor on."""

    api: Api
    cursor: str = ""

    def __post_init__(self) -> None:
        server = self.api.server
        self.stream = server.job_feed.watch(USER, PROJECT, self.cursor, renderer(server))
        self.frames: list[dict[str, Any]] = []

    async def next(self) -> tuple[str, str]:
        """The kind of the next frame, with the job's name and status, or its id."""
        while not self.frames:
            batch = await asyncio.wait_for(anext(self.stream), 10) or []
            self.frames += [{**json.loads(frame.body), "cursor": frame.cursor} for frame in batch]
        frame = self.frames.pop(0)
        self.cursor = frame["cursor"]
        job = frame.get("job")
        return frame["kind"], f"{job['name']} {job['status']}" if job else frame.get("id", "")

    async def is_silent(self) -> bool:
        """Whether nothing more comes for a while."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.next(), 0.5)
        return True


async def test_all_jobs_are_watched_each_change_once_and_resumed_by_cursor(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_feed, "_PAGE_JOBS", 2)
    for name in ("one", "two", "three"):
        await api.submit(name=name)
    watching = Watching(api)
    first = [await watching.next() for _ in range(4)]
    assert first == [("job", "three queued"), ("job", "two queued"), ("job", "one queued"), ("ready", "")]
    ready = watching.cursor
    assert await watching.is_silent()  # events that are delivered change nothing that users see

    before = (await api.http.post("/api/v1/jobs/one/cancel")).json()["id"]
    watching = Watching(api, ready)
    assert await watching.next() == ("job", "one cancelled")
    assert await watching.is_silent()

    await api.submit(name="four")
    await api.http.delete("/api/v1/jobs/one")
    resumed = Watching(api, ready)
    assert sorted([await resumed.next(), await resumed.next()]) == [("deleted", before), ("job", "four queued")]
    assert await resumed.is_silent()
    other = Watching(api, "00000000-1")  # of a server that was started before
    assert [(await other.next())[0] for _ in range(4)] == ["job", "job", "job", "ready"]


async def test_a_row_is_made_once_for_all_and_has_no_source(api: Api) -> None:
    watching = [Watching(api) for _ in range(20)]
    for one in watching:
        assert (await one.next())[0] == "ready"
    await api.submit(name="mine", source="x" * 50_000)
    bodies = []
    for one in watching:
        (frame,) = await asyncio.wait_for(anext(one.stream), 10)
        bodies.append(frame.body)
    assert len({id(body) for body in bodies}) == 1
    assert len(bodies[0]) < 1_000


async def test_a_cursor_of_all_jobs_that_is_damaged_is_refused(api: Api) -> None:
    for cursor in ("nonsense", "00000000-x", "00000000--1"):
        assert (await api.http.get("/api/v1/events", params={"cursor": cursor})).status_code == 422, cursor
