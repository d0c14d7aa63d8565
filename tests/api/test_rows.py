"""The rows of a list: what they say of a job, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headway.core.account import User
from headway.core.facts import RankStarted, Released, StageReached
from headway.formats.metrics import Series, encode_metrics
from headway.rank_protocol.paths import CALL_SCRIPT
from headway.server.access import Caller, CallerKind
from headway.server.server import Server
from headway.server.services import curves
from headway.settings import Settings
from tests.api.conftest import Api, SpokenWorker, opened
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio


async def rows(api: Api) -> dict[str, dict[str, Any]]:
    page = (await api.http.get("/api/v1/jobs")).json()
    return {row["name"]: row for row in page["jobs"]}


async def log(api: Api, worker: SpokenWorker, job: str, steps: range, name: str = "train/loss") -> None:
    series = Series(name, 0)
    for step in steps:
        series.steps.append(step)
        series.times.append(float(step))
        series.values.append(100.0 - step)
    report = worker.a_report(job)
    metrics = encode_metrics(report.number, [series])
    await api.server.recorder.record([type(report)(*_place(report), metrics=metrics)])


def _place(report: Any) -> tuple[Any, ...]:
    return report.job, report.attempt, report.worker, report.number, report.through


async def test_a_row_says_why_a_job_waits_and_how_far_it_is(api: Api) -> None:
    worker = await api.worker(slots=1)
    job = (await api.submit(name="first", source="x" * 5_000))["id"]
    await eventually(api, "first", "starting")
    await api.submit(name="second")
    await api.submit(name="third")
    await api.submit(name="never", world_size=5)
    await worker.claim(job)
    begun = StageReached(stage="first_step", at=1.0, total_steps=50)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1), begun)])
    await worker.heartbeat(0, steps={job: 10})
    await log(api, worker, job, range(11))

    found = await rows(api)
    first = found["first"]
    assert (first["sentence"], first["step"], first["total_steps"]) == ("Running.", 10, 50)
    assert first["progress"]["remaining_seconds"] > 0
    assert first["metric"] == {"name": "train/loss", "step": 10, "value": 90.0}
    assert first["sparkline"] == [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert len(json.dumps(first)) < 1_200  # without its source
    assert found["third"]["sentence"] == (
        "Needs 1 slot; 0 of 1 are free. Position 2 in queue, after second. In use by first (1)."
    )
    assert [found[name]["queue_position"] for name in ("first", "second", "third", "never")] == [None, 1, 2, None]
    assert found["never"]["sentence"].startswith("Needs 5 slots; all workers together have 1.")


async def test_a_row_of_an_ended_job_has_its_last_step(api: Api) -> None:
    """Given a function that logs steps and saves nothing, when it is cancelled, then its row has the newest step."""
    worker = await api.worker(slots=1)
    job = (await api.submit(name="mine", script=CALL_SCRIPT, labels={"function": "fit"}))["id"]
    await eventually(api, "mine", "starting")
    await worker.claim(job)
    await log(api, worker, job, range(11))
    await api.http.post("/api/v1/jobs/mine/cancel")
    await api.server.recorder.record([worker.a_report(job, Released(), last=True)])
    await eventually(api, "mine", "cancelled")
    row = (await rows(api))["mine"]
    assert (row["step"], row["program"]) == (10, "fit()")


async def test_the_list_counts_by_status_and_names_owners(api: Api) -> None:
    await api.server.directory.put(User(id="ann", uid="u-ann", created_at=1.0, admin=True))
    ann = api.headers(Caller(CallerKind.USER, user="u-ann"))
    for name in ("one", "two", "three"):
        await api.http.post("/api/v1/jobs", json={"name": name, "script": "s.py", "source": "1"}, headers=ann)
    await api.submit(name="four")
    await api.http.post("/api/v1/jobs/one/cancel")
    await api.http.post("/api/v1/jobs/two/pause")
    page = (await api.http.get("/api/v1/jobs", params={"limit": 2})).json()
    assert page["counts"] == {"queued": 2, "paused": 1, "cancelled": 1}
    assert [(row["name"], row["owner"]) for row in page["jobs"]] == [("four", None), ("three", "ann")]
    behind = (await api.http.get("/api/v1/jobs", params={"limit": 2, "cursor": page["next"]})).json()
    assert (behind["counts"], len(behind["jobs"])) == (None, 2)


async def test_a_curve_is_the_same_after_the_server_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a curve that was stored a while ago, when another server starts, then it has what was recorded since."""
    monkeypatch.setattr(curves, "STORED_REPORTS", 5)
    settings = Settings(home=tmp_path / "home", lease_seconds=1e6)
    async with opened(Server(settings)) as api:
        job, worker = await api.placed(name="mine")
        await worker.claim(job)
        await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
        for step in range(17):
            await log(api, worker, job, range(step, step + 1))
        before = (await rows(api))["mine"]["sparkline"]
        stored = await api.server.backends.database.job(job)
        assert stored.curve is not None
        assert len(stored.curve.steps) < 17
    async with opened(Server(settings)) as api:
        assert (await rows(api))["mine"]["sparkline"] == before
    assert len(before) == 17


async def test_an_ended_job_keeps_its_curve(api: Api) -> None:
    job, worker = await api.placed(name="mine")
    await worker.run_to_the_end(job, points=40)
    await eventually(api, "mine", "succeeded")
    row = (await rows(api))["mine"]
    assert (row["metric"]["step"], len(row["sparkline"])) == (39, 20)
    assert (await api.server.backends.database.job(job)).curve is not None


async def test_a_list_is_compressed_for_those_who_accept_it(api: Api) -> None:
    for number in range(20):
        await api.submit(name=f"job-{number}")
    plain = await api.http.get("/api/v1/jobs", headers={"accept-encoding": "identity"})
    packed = await api.http.get("/api/v1/jobs", headers={"accept-encoding": "br;q=1, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json()["jobs"] == plain.json()["jobs"]
    assert packed.num_bytes_downloaded < len(plain.content) / 5
