"""Events, logs and metrics over HTTP: nothing is skipped, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

from headway.core import fact_transitions
from headway.core.facts import CheckpointPartStored, RankStarted, Released
from headway.core.status import AssignmentState
from headway.database.sqlite import SqliteDatabase
from headway.formats.metrics import Series, encode_metrics
from headway.formats.reports import Report, encode_report, stated_bytes
from headway.server import compaction, thinning
from headway.server.api.event_streams import read_page
from headway.server.server import Server
from headway.server.services import metrics as services_metrics
from headway.server.services.cursor import Cursor
from headway.settings import Settings
from tests.api.conftest import PROJECT, USER, Api, SpokenWorker, opened
from tests.api.test_jobs import eventually
from tests.unit.formats.test_reports import BAD_LOGS, BAD_METRICS
from tests.until import until

pytestmark = pytest.mark.anyio


async def started_job(api: Api) -> tuple[str, SpokenWorker]:
    worker = await api.worker()
    job = await api.submit(name="mine")
    await eventually(api, "mine", "starting")
    await worker.claim(job["id"])
    return job["id"], worker


async def texts(api: Api, cursor: str | None = None) -> tuple[list[str], str]:
    params = {"cursor": cursor} if cursor else {}
    page = (await api.http.get("/api/v1/jobs/mine/logs", params=params)).json()
    return [line["text"] for line in page["lines"]], page["cursor"]


async def test_reports_in_any_order_and_number_give_one_log(api: Api) -> None:
    job, worker = await started_job(api)
    reports = [worker.a_report(job, lines=(f"{n}a", f"{n}b")) for n in range(1, 6)]
    one, two, three, four, five = reports
    await api.server.recorder.record([two, two, four])
    assert (await texts(api))[0] == []  # only up to the first gap
    await api.server.recorder.record([one])
    found, cursor = await texts(api)
    assert found == ["1a", "1b", "2a", "2b"]
    await api.server.recorder.record([five, three, one, two])
    assert (await texts(api, cursor))[0] == ["3a", "3b", "4a", "4b", "5a", "5b"]


async def test_a_cursor_holds_across_compaction_and_restart(api: Api, tmp_path: Path) -> None:
    job, worker = await started_job(api)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1), lines=("first",))])
    found, cursor = await texts(api)
    assert found == ["first"]
    await api.server.recorder.record([worker.a_report(job, lines=(f"line {n}",)) for n in range(5)])
    await compaction.compact(api.server.backends.database.streams, job, 1)
    assert len(await api.server.backends.database.streams.index(job, 1)) == 1
    assert (await texts(api, cursor))[0] == [f"line {n}" for n in range(5)]
    assert len((await texts(api))[0]) == 6


async def test_compaction_looks_at_each_report_a_few_times_only(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt may have thousands of reports, and the server has to answer workers meanwhile."""
    job, worker = await started_job(api)
    await api.server.recorder.record([worker.a_report(job, lines=("x",)) for _ in range(100)])
    measured = []

    def counted(report: Report) -> int:
        measured.append(report.number)
        return stated_bytes(report)

    monkeypatch.setattr(compaction, "stated_bytes", counted)
    await compaction.compact(api.server.backends.database.streams, job, 1)
    assert len(await api.server.backends.database.streams.index(job, 1)) == 1
    assert len(measured) <= 200


async def test_an_unknown_cursor_is_refused(api: Api) -> None:
    await api.submit(name="mine")
    for cursor in ("nonsense", "e30=", "eyJldmVudCI6ICJ4In0="):
        response = await api.http.get("/api/v1/jobs/mine/logs", params={"cursor": cursor})
        assert response.status_code == 422, cursor


async def test_committed_means_stored_and_applied(api: Api) -> None:
    job, worker = await started_job(api)
    stream = {"job": job, "attempt": 1, "worker": worker.id}
    one, two, three = (worker.a_report(job, lines=("x",)) for _ in range(3))
    await api.server.recorder.record([one, three])
    answer = (await worker.heartbeat(0, streams=[stream])).json()
    assert answer["committed"] == [{"stream": stream, "through": 1}]
    await api.server.recorder.record([two])
    answer = (await worker.heartbeat(1, streams=[stream, {**stream, "job": "j-unknown"}])).json()
    assert [one["through"] for one in answer["committed"]] == [3, None]


async def test_facts_stored_before_a_crash_are_applied_after_it(tmp_path: Path) -> None:
    """Given a server that died between storing a report and applying its facts, the next one applies them."""
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)) as api:
        job, worker = await started_job(api)
        assert (await api.http.get("/api/v1/jobs/mine")).json()["status"] == "starting"
    database = SqliteDatabase(settings.effective_database_url)
    await database.open()
    await database.streams.insert([worker.a_report(job, RankStarted(rank=0, pid=1), lines=("x",))])
    await database.close()
    for _ in range(2):  # applied once, it stays so
        async with opened(Server(settings)) as api:
            assert (await api.http.get("/api/v1/jobs/mine")).json()["status"] == "running"
            assert (await texts(api))[0] == ["x"]


async def test_a_broken_report_is_counted_and_dropped(api: Api) -> None:
    job, worker = await started_job(api)
    await api.server.backends.embedded.receive_report(b"nonsense")
    await api.server.backends.embedded.receive_report(encode_report(worker.a_report(job, lines=("after",))))
    for _ in range(100):
        if (await texts(api))[0]:
            break
        await asyncio.sleep(0.02)
    assert (await texts(api))[0] == ["after"]
    assert api.server.counters.corrupt_reports == 1


async def follow(api: Api, cursor: str | None = None, include: str = "events,logs,metrics") -> list[dict[str, object]]:
    """All server-sent events of the job until it ends."""
    headers = {"Last-Event-ID": cursor} if cursor else {}
    response = await api.http.get("/api/v1/jobs/mine/follow", params={"include": include}, headers=headers)
    assert response.status_code == 200, response.text
    found = []
    for block in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append({"id": fields["id"], "event": fields["event"], "data": json.loads(fields["data"])})
    return found


async def test_a_follower_gets_everything_and_can_continue_anywhere(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit(name="mine")
    await eventually(api, "mine", "starting")
    await worker.run_to_the_end(job["id"], lines=("a", "b"), points=3)
    await eventually(api, "mine", "succeeded")
    whole = await follow(api)
    assert whole[-1]["event"] == "end"
    assert whole[-1]["data"]["status"] == "succeeded"
    kinds = [(one["event"], one["data"].get("type")) for one in whole if one["event"] == "event"]
    assert kinds == [
        ("event", "job.submitted"),
        ("event", "attempt.placed"),
        ("event", "attempt.started"),
        ("event", "attempt.ended"),
        ("event", "job.succeeded"),
    ]
    for position, one in enumerate(whole[:-1]):
        rest = await follow(api, cursor=one["id"])
        assert [item["data"] for item in rest] == [item["data"] for item in whole[position + 1 :]]


async def test_a_live_follower_ends_with_the_job(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit(name="mine")
    await eventually(api, "mine", "starting")
    following = asyncio.create_task(follow(api, include="logs"))
    await until(lambda: job["id"] in api.server.watchers._followers)
    await worker.run_to_the_end(job["id"], lines=("live",))
    items = await asyncio.wait_for(following, 10)
    assert [line["text"] for line in items[0]["data"]["lines"]] == ["live"]
    assert items[-1]["event"] == "end"


async def test_metrics_are_thinned_to_their_extremes(api: Api) -> None:
    job, worker = await started_job(api)
    report = worker.a_report(job, points=1000)
    await api.server.recorder.record([report])
    (series,) = (await api.http.get("/api/v1/jobs/mine/metrics", params={"points": 10})).json()["series"]
    assert (series["count"], series["thinned"]) == (1000, True)
    assert len(series["steps"]) <= 10
    assert (series["values"][0], series["steps"][-1]) == (1.0, 999)  # the maximum and the minimum are included
    ranged = {"first_step": 5, "last_step": 7}
    (series,) = (await api.http.get("/api/v1/jobs/mine/metrics", params=ranged)).json()["series"]
    assert series["steps"] == [5, 6, 7]
    assert (await api.http.get("/api/v1/jobs/mine/metrics", params={"name": "none"})).json()["series"] == []


async def test_all_series_of_an_answer_together_have_a_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a long series and many short ones, then the long one is thinned more, and the answer says so."""
    monkeypatch.setattr(thinning, "MAXIMUM_POINTS", 400)
    monkeypatch.setattr(services_metrics, "MAXIMUM_SERIES", 100)
    job, worker = await started_job(api)

    def logged(name: str, points: int) -> Series:
        columns = array("q", range(points)), array("d", [1.0] * points), array("d", range(points))
        return Series(name, 0, *columns)

    series = [logged("long", 1000), *(logged(f"short{number:02d}", 2) for number in range(99))]
    report = worker.a_report(job)
    await api.server.recorder.record([replace(report, metrics=encode_metrics(report.number, series))])
    answer = (await api.http.get("/api/v1/jobs/mine/metrics")).json()
    assert answer["points"] == 400 - 99 * 2
    assert sum(len(one["steps"]) for one in answer["series"]) <= 400
    assert [(one["count"], one["thinned"]) for one in answer["series"]] == [(1000, True)] + [(2, False)] * 99
    named = (await api.http.get("/api/v1/jobs/mine/metrics", params={"name": "long"})).json()
    assert named["points"] == 400
    assert 390 < len(named["series"][0]["steps"]) <= 400
    report = worker.a_report(job)
    await api.server.recorder.record([replace(report, metrics=encode_metrics(report.number, [logged("more", 1)]))])
    refused = await api.http.get("/api/v1/jobs/mine/metrics")
    assert refused.status_code == 422
    assert "Job mine has 101 series; one answer holds at most 100. Name those" in refused.json()["detail"]
    assert (await api.http.get("/api/v1/jobs/mine/metrics", params={"name": "more"})).status_code == 200


async def pages_of_logs(api: Api) -> list[list[str]]:
    pages: list[list[str]] = []
    found, cursor = await texts(api)
    while found:
        pages.append(found)
        found, cursor = await texts(api, cursor)
    return pages


async def test_many_empty_lines_are_read_in_pages_of_bounded_size(api: Api) -> None:
    """Given 80,000 lines in reports as a worker cuts them, no page holds many, before and after compaction."""
    job, worker = await started_job(api)
    await api.server.recorder.record([worker.a_report(job, lines=("",) * 16_384) for _ in range(5)])
    for compacted in (False, True):
        if compacted:
            await compaction.compact(api.server.backends.database.streams, job, 1)
            assert len(await api.server.backends.database.streams.index(job, 1)) == 1
        pages = await pages_of_logs(api)
        assert sum(map(len, pages)) == 5 * 16_384
        assert max(map(len, pages)) <= 3 * 16_384


async def test_reading_a_page_ends_when_its_client_leaves(api: Api) -> None:
    job, worker = await started_job(api)
    await api.server.recorder.record([worker.a_report(job, lines=(f"line {n}",)) for n in range(50)])

    async def left() -> Message:
        return {"type": "http.disconnect"}

    request = Request({"type": "http"}, left)
    cursor = Cursor()
    found = await api.server.streams.read(USER, PROJECT, job, cursor, {"logs"})
    items, _ = await read_page(request, found, cursor, 200)
    assert len(items) == 1


@pytest.mark.parametrize("name", BAD_LOGS)
async def test_lines_that_cannot_be_read_are_one_line_that_says_so(api: Api, name: str) -> None:
    job, worker = await started_job(api)
    bad, *good = (worker.a_report(job, lines=(text,)) for text in ("bad", "a", "b"))
    await api.server.recorder.record([replace(bad, logs=BAD_LOGS[name]), *good])
    for _ in range(2):
        ((*_, damaged, first, last),) = await pages_of_logs(api)
        assert (first, last) == ("a", "b")
        assert damaged.startswith("headway: report 1 cannot be shown.")
        await compaction.compact(api.server.backends.database.streams, job, 1)


@pytest.mark.parametrize("name", BAD_METRICS)
async def test_series_that_cannot_be_read_are_left_out(api: Api, name: str) -> None:
    job, worker = await started_job(api)
    bad, good = worker.a_report(job, points=1), worker.a_report(job, points=2)
    await api.server.recorder.record([replace(bad, metrics=BAD_METRICS[name]), good])
    answer = await api.http.get("/api/v1/jobs/mine/metrics", params={"attempt": 1})
    assert answer.status_code == 200
    assert [(one["name"], one["count"]) for one in answer.json()["series"]] == [("loss", 2)]


async def test_slots_are_free_although_facts_cannot_be_applied(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a defect in applying a fact that came together with the release."""
    job, worker = await started_job(api)

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(fact_transitions, "part_stored", defect)
    facts = CheckpointPartStored(step=1, rank=0), Released()
    await api.server.recorder.record(
        [worker.a_report(job, RankStarted(rank=0, pid=1)), worker.a_report(job, *facts, last=True)]
    )
    attempt = await api.server.jobs.attempt(await api.server.jobs.by_id(job), 1)
    assert attempt is not None
    (assignment,) = attempt.assignments
    assert (assignment.applied, assignment.last_number) == (2, 2)
    assert assignment.state is AssignmentState.RELEASED
    assert api.server.counters.corrupt_reports == 1
