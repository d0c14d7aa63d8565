"""Reports are stored whole and applied once, in order. Stored and applied reports are committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from headway.core.facts import Fact, Released, StageReached
from headway.core.job import Job
from headway.core.protocol import AssignmentKey
from headway.core.status import AssignmentState, JobStatus
from headway.errors import Unavailable
from headway.formats.reports import LogLine, Report, decode_logs, encode_logs, encode_report
from headway.server import recorder as recorder_module
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio
STAGE = StageReached(stage="trained", at=1.0)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StillServer]:
    async with still_server(tmp_path, catch_up_seconds=30.0) as server:
        yield server


async def training(server: StillServer, workers: int = 1) -> Job:
    """A job whose ranks run, one on each worker."""
    for number in range(workers):
        await server.a_worker(f"w{number}")
    job = await server.a_job(world_size=workers)
    await server.scheduler.schedule()
    return await server.claim(await server.now(job))


def key_of(job: Job, worker: str = "w0") -> AssignmentKey:
    return AssignmentKey(job=job.id, attempt=job.attempt_number, worker=worker)


def a_report(job: Job, number: int, *facts: Fact, worker: str = "w0", last: bool = False) -> Report:
    logs = encode_logs(number, [LogLine(0, 1.0, f"line {number}")])
    return Report(job.id, job.attempt_number, worker, number, number, last=last, facts=facts, logs=logs)


async def lines(server: StillServer, job: Job) -> list[str]:
    """The stored lines of a worker's log."""
    stored = await server.backends.database.streams.reports(job.id, job.attempt_number, "w0", 0, 100, 100)
    return [line.text for report in stored for line in decode_logs(report.logs)]


async def test_a_report_is_stored_applied_and_committed(server: StillServer) -> None:
    job = await training(server)
    await server.recorder.record([a_report(job, 1, STAGE)])
    assert await lines(server, job) == ["line 1"]
    assert "trained" in (await server.now(job)).attempt.stages
    assert await server.recorder.committed(key_of(job)) == 1


async def test_a_report_that_comes_twice_counts_once(server: StillServer) -> None:
    job = await training(server)
    await server.recorder.record([a_report(job, 1, STAGE), a_report(job, 1, STAGE)])
    version = (await server.now(job)).version
    await server.recorder.record([a_report(job, 1, Released())])
    assert (await server.now(job)).version == version
    assert await lines(server, job) == ["line 1"]


async def test_reports_after_a_gap_are_stored_and_wait_to_be_applied(server: StillServer) -> None:
    """Given report 2, when report 1 comes after it, then both are applied in order in one change."""
    job = await training(server)
    await server.recorder.record([a_report(job, 2, STAGE)])
    assert await server.recorder.committed(key_of(job)) == 0
    assert server.recorder.stored(key_of(job)) == 0, "followers read up to the gap"
    assert "trained" not in (await server.now(job)).attempt.stages
    before = (await server.now(job)).version
    await server.recorder.record([a_report(job, 1)])
    assert await server.recorder.committed(key_of(job)) == 2
    assert "trained" in (await server.now(job)).attempt.stages
    assert (await server.now(job)).version == before + 1


async def test_reports_without_an_open_stream_are_left_out(server: StillServer) -> None:
    """Reports of an absent job, of an attempt that is not open, and of a worker without an assignment of it."""
    job = await training(server)
    stranger = a_report(job, 1, STAGE, worker="w9")
    other_attempt = replace(a_report(job, 1, STAGE), attempt=7)
    other_job = replace(a_report(job, 1, STAGE), job="j-none")
    await server.recorder.record([stranger, other_attempt, other_job])
    assert await server.backends.database.streams.index(job.id, 1) == []
    assert await server.recorder.committed(key_of(job, "w9")) is None


async def test_reports_stored_by_an_earlier_server_are_applied_at_the_start(tmp_path: Path) -> None:
    """Given a server that died after it stored a report, when another starts, then the report's facts count."""
    async with still_server(tmp_path) as server:
        job = await training(server)
        await server.backends.database.streams.insert([a_report(job, 1, STAGE), a_report(job, 3)])
    async with still_server(tmp_path) as successor:
        await successor.jobs.open()
        await successor.recorder.open()
        assert "trained" in (await successor.now(job)).attempt.stages
        assert await successor.recorder.committed(key_of(job)) == 1


async def test_a_report_that_cannot_be_read_is_put_aside_and_its_worker_told(
    server: StillServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = await training(server)
    recording = asyncio.create_task(server.recorder.run())
    await server.recorder.record([a_report(job, 1)])
    whole = encode_report(a_report(job, 2, STAGE))
    for body in (b"no report", whole.replace(b"stage_reached", b"stage_reachex")):
        await server.backends.embedded.receive_report(body)
    await server.recorder.catch_up()
    assert server.counters.corrupt_reports == 2
    assert server.recorder.unreadable(key_of(job)) == (2,)
    assert await server.recorder.committed(key_of(job)) == 1
    await server.backends.embedded.receive_report(whole)
    await server.recorder.catch_up()
    assert server.recorder.unreadable(key_of(job)) == (), "it came whole"
    assert await server.recorder.committed(key_of(job)) == 2
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)
    assert sum("put aside" in record.message for record in caplog.records) == 2


async def test_reports_wait_while_the_database_does_not_answer(
    server: StillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await training(server)
    insert = server.backends.database.streams.insert
    tries = 0

    async def unavailable_once(reports: list[Report]) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("The database does not answer.")
        await insert(reports)

    monkeypatch.setattr(server.backends.database.streams, "insert", unavailable_once)
    monkeypatch.setattr(recorder_module, "_RETRY_SECONDS", 0.0)
    recording = asyncio.create_task(server.recorder.run())
    await server.backends.embedded.receive_report(encode_report(a_report(job, 1, STAGE)))
    while await server.recorder.committed(key_of(job)) != 1:
        await asyncio.sleep(0.01)
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)
    assert tries == 2


async def test_stored_facts_are_applied_once_the_database_answers_again(
    server: StillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a database that fails after it stored a last report, when it answers again, then the facts count."""
    job = await training(server)
    replace_job = server.backends.database.replace_job
    tries = 0

    async def unavailable_once(job: Job) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("The database does not answer.")
        return await replace_job(job)

    monkeypatch.setattr(server.backends.database, "replace_job", unavailable_once)
    monkeypatch.setattr(recorder_module, "_RETRY_SECONDS", 0.0)
    recording = asyncio.create_task(server.recorder.run())
    await server.backends.embedded.receive_report(encode_report(a_report(job, 1, STAGE, Released(), last=True)))
    async with asyncio.timeout(10):
        await server.recorder.catch_up()
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)
    assert (await server.now(job)).attempt.assignments[0].state is AssignmentState.RELEASED


async def test_facts_of_an_ended_attempt_that_an_earlier_server_stored_count_when_sent_again(tmp_path: Path) -> None:
    """Given a server that stored the last report of a lost worker's attempt and died, then a repeat settles it."""
    async with still_server(tmp_path) as server:
        job = await training(server)
        await server.recorder.record([a_report(job, 1)])
        await server.workers.lose("w0", "the test says so")
        last = a_report(job, 2, last=True)
        await server.backends.database.streams.insert([last])
    async with still_server(tmp_path) as successor:
        await successor.jobs.open()
        await successor.recorder.open()
        assert (await successor.now(job)).settling == (1,)
        await successor.recorder.record([last])
        assert (await successor.now(job)).settling == ()


async def test_a_defect_costs_the_facts_of_its_report_alone_and_slots_are_free(
    server: StillServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Given facts that make the rules fail, then facts of other reports count, and the slots become free."""
    job = await training(server)
    apply_facts = recorder_module.apply_facts

    def fails(job: Job, number: int, reports: list[recorder_module.ReportedFacts], now: float) -> Job:
        if any(isinstance(fact, StageReached) and fact.stage == "odd" for one in reports for fact in one.facts):
            raise ZeroDivisionError
        return apply_facts(job, number, reports, now)

    monkeypatch.setattr(recorder_module, "apply_facts", fails)
    odd = StageReached(stage="odd", at=1.0)
    await server.recorder.record([a_report(job, 1, STAGE), a_report(job, 2, odd, Released(), last=True)])
    attempt = (await server.now(job)).attempt
    assert "trained" in attempt.stages
    assert attempt.assignments[0].state is AssignmentState.RELEASED
    assert server.counters.corrupt_reports == 1
    assert "report 2 of worker w0" in caplog.text


async def lose_both_workers(server: StillServer) -> Job:
    """A job of two lost workers. Reports of its first attempt may still come."""
    job = await training(server, workers=2)
    await server.recorder.record([a_report(job, 1), a_report(job, 1, worker="w1")])
    for worker in ("w0", "w1"):
        await server.workers.lose(worker, "the test says so")
    job = await server.now(job)
    assert (job.status, job.settling) == (JobStatus.QUEUED, (1,))
    return job


async def test_streams_settle_once_the_last_reports_of_all_lost_workers_are_there(server: StillServer) -> None:
    job = await lose_both_workers(server)
    await server.recorder.record([a_report(job, 2, last=True)])
    assert (await server.now(job)).settling == (1,), "the other worker's may still come"
    await server.recorder.record([a_report(job, 2, worker="w1", last=True)])
    job = await server.now(job)
    assert job.settling == ()
    assert (job.events[-1].type, job.events[-1].data["missing_reports"]) == ("attempt.settled", 0)
    assert server.counters.missing_reports == 0


async def test_reports_that_never_came_are_counted_and_later_ones_refused(server: StillServer) -> None:
    job = await lose_both_workers(server)
    await server.recorder.record([a_report(job, 4)])
    await server.recorder.settle_streams(job.id, 1)
    job = await server.now(job)
    assert (job.events[-1].type, job.events[-1].data["missing_reports"]) == ("attempt.settled", 2)
    assert server.counters.missing_reports == 2
    server.recorder.job_changed(job)
    await server.recorder.record([a_report(job, 2)])
    assert await lines(server, job) == ["line 1", "line 4"]
    assert server.recorder.stored(key_of(job)) is None, "everything stored may be read"


async def test_catching_up_ends_although_reports_are_not_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a report in the broker and a recorder that does not run, then the wait is bounded, with a warning."""
    async with still_server(tmp_path, catch_up_seconds=0.05) as server:
        await server.backends.embedded.receive_report(b"a report")
        async with asyncio.timeout(10):
            await server.recorder.catch_up()
    assert "waiting for 1 reports" in caplog.text


async def test_a_new_server_waits_for_no_report_that_an_earlier_one_read(tmp_path: Path) -> None:
    """Given a broker that numbers reports from its own beginning, as Kafka, and has nothing new, it does not wait."""
    async with still_server(tmp_path, catch_up_seconds=30.0) as server:
        broker = server.backends.embedded
        broker._position = broker._arrived.taken = 1_000
        await server.recorder.open()
        async with asyncio.timeout(10):
            await server.recorder.catch_up()
