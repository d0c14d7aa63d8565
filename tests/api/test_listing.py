"""Lists of jobs: labels and notes, sorting, following."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import PROJECT, USER, Api

pytestmark = pytest.mark.anyio


async def test_labels_and_notes_are_changed_and_found(api: Api) -> None:
    await api.submit(name="mine", labels={"team": "vision"}, notes="first")
    await api.submit(name="other")
    changed = await api.http.patch("/api/v1/jobs/mine", json={"labels": {"team": "audio"}})
    assert (changed.json()["labels"], changed.json()["notes"]) == ({"team": "audio"}, "first")
    await api.http.patch("/api/v1/jobs/mine", json={"notes": "second"})
    found = (await api.http.get("/api/v1/jobs", params={"label": "team=audio"})).json()["jobs"]
    assert [(job["name"], job["notes"]) for job in found] == [("mine", "second")]
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


async def messages(stream: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, object]]]:
    async for text in stream:
        fields = dict(line.split(": ", 1) for line in text.strip().splitlines() if not line.startswith(":"))
        if fields:
            data = json.loads(fields["data"])
            assert data["kind"] == fields["event"]
            yield fields["event"], data.get("job", data)


async def test_all_jobs_are_followed_from_a_snapshot_on(api: Api) -> None:
    from headway.server.api.events import _frames

    await api.submit(name="before")
    stream = messages(_frames(api.server, api.server.job_feed.watch(USER, PROJECT)))
    assert [(kind, data.get("name")) for kind, data in (await anext(stream), await anext(stream))] == [
        ("job", "before"),
        ("ready", None),
    ]
    await api.submit(name="after")
    before = (await api.http.post("/api/v1/jobs/before/cancel")).json()["id"]
    newest: dict[object, object] = {}
    while newest != {"after": "queued", "before": "cancelled"}:
        kind, data = await asyncio.wait_for(anext(stream), 10)
        newest[data["name"]] = data["status"]
    await api.http.delete("/api/v1/jobs/before")
    while (kind, data["id"]) != ("deleted", before):
        kind, data = await asyncio.wait_for(anext(stream), 10)
    await stream.aclose()
