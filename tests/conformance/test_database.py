"""What every database promises."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from headway.backend_registry import backend
from headway.core import allocation_transitions as allocations
from headway.core import transitions
from headway.core.allocation import Over, Waiting, WaitingCause
from headway.core.attempt import Attempt
from headway.core.checkpoint import CheckpointPart
from headway.core.installation import Installation, Leadership
from headway.core.job import Event, Job, JobSpec
from headway.core.job_query import JobQuery, JobSort, sort_values
from headway.core.protocol import SeatStart
from headway.core.status import JobStatus
from headway.core.worker import TakenSeat, Worker, WorkerState
from headway.database.base import Database
from headway.errors import IdempotencyKeyReused, NameTaken, NotFound, SettingInvalid
from headway.formats.reports import LogLine, Report, encode_logs
from tests.conformance.backends import run, schemes

pytestmark = pytest.mark.anyio
SHARED = [scheme for scheme in schemes("database") if backend("database", f"{scheme}:").shared]


def new(url: str) -> Database:
    database: Database = backend("database", url)(url)
    return database


def a_job(name: str, *, key: str | None = None, priority: int = 0) -> Job:
    spec = JobSpec(script="s.py", source="print('ü\u0000')", priority=priority)
    return Job(
        id=f"j-{name}",
        project="default",
        name=name,
        idempotency_key=key or name,
        body_hash="h",
        spec=spec,
        created_at=1.5,
    )


def newer(job: Job, **changes: object) -> Job:
    return job.model_copy(update={"version": job.version + 1, **changes})


def a_report(number: int, worker: str = "w", text: str = "x", **fields: object) -> Report:
    logs = encode_logs(number, [LogLine(0, 0.0, text)])
    return Report("j", 1, worker, number, number, logs=logs, **fields)


async def test_a_job_comes_back_as_it_was(database: Database) -> None:
    job = await database.insert_job(transitions.emit(a_job("one"), "job.submitted", 2.0))
    assert job.sequence > 0
    assert await database.job("j-one") == job
    assert await database.job_named("default", "one") == job
    assert await database.job_with_key("default", "one") == job
    with pytest.raises(NotFound):
        await database.job("j-none")


async def test_the_key_is_checked_before_the_name(database: Database) -> None:
    await database.insert_job(a_job("one"))
    with pytest.raises(IdempotencyKeyReused):
        await database.insert_job(a_job("one").model_copy(update={"id": "j-x"}))
    with pytest.raises(NameTaken):
        await database.insert_job(a_job("one", key="another").model_copy(update={"id": "j-x"}))
    assert len(await database.jobs(JobQuery(project="default"))) == 1


async def test_one_of_fifty_writers_wins(database: Database) -> None:
    job = await database.insert_job(a_job("one"))
    writers = [database.replace_job(newer(job, sentence=f"writer {number}")) for number in range(50)]
    won = await asyncio.gather(*writers)
    assert sum(won) == 1
    stored = await database.job(job.id)
    assert (stored.version, stored.sentence) == (2, f"writer {won.index(True)}")


async def test_one_of_fifty_submissions_with_a_key_is_stored(database: Database) -> None:
    async def submit(number: int) -> bool:
        try:
            await database.insert_job(a_job(f"job{number}", key="same"))
            return True
        except IdempotencyKeyReused:
            return False

    assert sum(await asyncio.gather(*(submit(number) for number in range(50)))) == 1


async def test_the_queue_is_by_priority_then_age(database: Database) -> None:
    for name, priority in (("old", 0), ("urgent", 5), ("young", 0)):
        await database.insert_job(a_job(name, priority=priority))
    running = await database.insert_job(a_job("running", priority=9))
    await database.replace_job(newer(running, status=JobStatus.RUNNING))
    assert [job.name for job in await database.queued_jobs(None, 10)] == ["urgent", "old", "young"]
    (urgent,) = await database.queued_jobs(None, 1)
    behind = await database.queued_jobs((urgent.spec.priority, urgent.sequence), 10)
    assert [job.name for job in (urgent, *behind)] == ["urgent", "old", "young"]
    assert [job.name for job in await database.queued_jobs((0, behind[0].sequence), 10)] == ["young"]


async def test_lists_are_paged_newest_first(database: Database) -> None:
    for number in range(5):
        await database.insert_job(a_job(f"job{number}"))
    first = await database.jobs(JobQuery(project="default", limit=2))
    second = await database.jobs(JobQuery(project="default", limit=2, after=(first[-1].created_at, first[-1].sequence)))
    assert [job.name for job in first + second] == ["job4", "job3", "job2", "job1"]
    assert await database.jobs(JobQuery(project="default", statuses=(JobStatus.FAILED,))) == []
    assert await database.jobs(JobQuery(project="other")) == []


async def test_lists_are_filtered_by_all_conditions(database: Database) -> None:
    spec = JobSpec(trainer="cnn", dataset="mnist")
    for number, labels in enumerate(({"team": "vision", "run": "a_b"}, {"team": "vision"}, {"team": "visions"})):
        job = a_job(f"job-{number}", key=f"key{number}")
        changes = {"spec": spec if number else job.spec, "labels": labels, "created_at": 100.0 + number}
        await database.insert_job(job.model_copy(update=changes))

    async def names(**query: Any) -> list[str]:
        return [job.name for job in await database.jobs(JobQuery(project="default", **query))]

    assert await names(labels={"team": "vision"}) == ["job-1", "job-0"]
    assert await names(labels={"team": "vision", "run": "a_b"}) == ["job-0"]
    assert await names(labels={"run": "a%b"}) == []
    assert await names(dataset="mnist") == ["job-2", "job-1"]
    assert await names(name="b-1") == ["job-1"]
    assert await names(name="b_1") == []
    assert await names(created_after=101.0, created_before=102.0) == ["job-1"]


async def test_lists_are_sorted_by_figures_with_those_without_last(database: Database) -> None:
    for number, accuracy in enumerate((0.5, None, 0.9, 0.5)):
        job = a_job(f"job{number}", key=f"key{number}")
        result = None if accuracy is None else {"test": {"accuracy": accuracy, "loss": 1 - accuracy, "f1": accuracy}}
        await database.insert_job(job.model_copy(update={"result": result}))
    for sort, descending, expected in (
        (JobSort.ACCURACY, True, ["job2", "job3", "job0", "job1"]),
        (JobSort.LOSS, False, ["job2", "job3", "job0", "job1"]),
        (JobSort.F1, False, ["job3", "job0", "job2", "job1"]),
    ):
        found: list[str] = []
        after = None
        while page := await database.jobs(
            JobQuery(project="default", sort=sort, descending=descending, after=after, limit=1)
        ):
            found.append(page[0].name)
            after = (sort_values(page[0])[sort], page[0].sequence)
        assert found == expected


async def test_a_starting_server_finds_unsettled_jobs(database: Database) -> None:
    idle = await database.insert_job(a_job("idle"))
    live = await database.insert_job(a_job("live"))
    await database.replace_job(newer(live, status=JobStatus.RUNNING))
    undelivered = await database.insert_job(a_job("undelivered"))
    told = transitions.emit(undelivered, "job.submitted", 1.0)
    await database.replace_job(newer(told))
    settling = await database.insert_job(a_job("settling"))
    await database.replace_job(newer(settling, status=JobStatus.FAILED, settling=(1,)))
    found = {job.name for job in await database.unsettled_jobs()}
    assert found == {"live", "undelivered", "settling"}
    assert idle.name not in found


async def test_an_allocation_is_stored_with_its_job_until_nothing_of_it_is_left(database: Database) -> None:
    spec = JobSpec.model_validate({"command": ["true"], "world_size": 2, "engine": "kubernetes"})
    job = await database.insert_job(a_job("one").model_copy(update={"spec": spec}))
    seat = SeatStart(number=1, start="a-start", call="a-call")
    worker = Worker(id="w", name="w", slots=1, threads_per_slot=1, host="h", port=1, registered_at=1.0)
    worker = worker.model_copy(update={"seat": TakenSeat(job=job.id, allocation="j-one-1", number=1)})
    await database.put_worker(worker)
    job = allocations.take_seat(allocations.request_allocation(job, 2.0), "j-one-1", seat, "w", 3.0)
    waiting = Waiting("j-one-1", WaitingCause.ROOM, "No node has room für it.")
    job = newer(allocations.note_waiting(job, waiting), events=())
    assert await database.replace_job(job)
    assert await database.unsettled_jobs() == [job]
    assert await database.workers() == [worker]
    ended = allocations.give_back(job, 4.0).model_copy(update={"status": JobStatus.CANCELLED, "events": ()})
    ended = newer(ended)
    assert await database.replace_job(ended)
    assert await database.unsettled_jobs() == [ended], "it is being given back"
    assert await database.replace_job(newer(allocations.over(ended, Over("j-one-1"), 5.0)))
    assert await database.unsettled_jobs() == []


async def test_deletion_frees_the_name_and_keeps_the_key(database: Database) -> None:
    job = await database.insert_job(a_job("one"))
    await database.insert_events([(job.id, Event(number=1, type="job.submitted", at=1.0))])
    assert not await database.delete_job(job.model_copy(update={"version": 7}))
    assert await database.delete_job(newer(job))
    with pytest.raises(NotFound):
        await database.job(job.id)
    assert await database.events(job.id, 0, 10) == []
    tombstone = await database.job_with_key("default", "one")
    assert tombstone is not None
    assert tombstone.body_hash == "h"
    await database.insert_job(a_job("one", key="another").model_copy(update={"id": "j-new"}))
    assert not await database.replace_job(newer(newer(job)))


async def test_attempts_and_events_are_stored_once(database: Database) -> None:
    attempt = Attempt(number=1, placed_at=1.0, assignments=())
    for _ in range(2):
        await database.put_attempt("j", attempt)
        await database.insert_events([("j", Event(number=n, type="t", at=1.0, data={"n": n})) for n in (1, 2, 3)])
    assert await database.attempts("j") == [attempt]
    assert [event.number for event in await database.events("j", 1, 10)] == [2, 3]
    assert [event.number for event in await database.events("j", 0, 2)] == [1, 2]


async def test_workers_are_replaced(database: Database) -> None:
    worker = Worker(id="w", name="w", slots=1, threads_per_slot=1, host="h", port=1, registered_at=1.0)
    await database.put_worker(worker)
    lost = worker.model_copy(update={"state": WorkerState.LOST})
    await database.put_worker(lost)
    assert await database.workers() == [lost]


async def test_everything_is_there_after_a_restart(database_url: str) -> None:
    for start in range(2):
        database = new(database_url)
        await database.open()
        if start == 0:
            await database.insert_job(a_job("one"))
            await database.streams.insert([a_report(1)])
        else:
            assert (await database.job("j-one")).name == "one"
            assert len(await database.streams.index("j", 1)) == 1
        await database.close()


async def test_the_first_server_draws_the_shared_secret(database: Database) -> None:
    proposals = [Installation(id=f"i-{n}", secret=f"secret {n}") for n in range(10)]
    drawn = await asyncio.gather(*(database.installation(one) for one in proposals))
    assert len(set(drawn)) == 1
    assert drawn[0] in proposals
    assert await database.installation(Installation(id="late", secret="")) == drawn[0]


async def test_one_of_many_servers_leads(database: Database) -> None:
    nobody = await database.leadership()
    assert nobody == Leadership()
    firsts = [Leadership(term=1, server=f"s{n}", url="u") for n in range(10)]
    won = await asyncio.gather(*(database.put_leadership(one, nobody) for one in firsts))
    assert sum(won) == 1
    leader = firsts[won.index(True)]
    assert await database.leadership() == leader
    alive = leader.model_copy(update={"beat": 1})
    assert await database.put_leadership(alive, leader)
    taking_over = Leadership(term=2, server="other", url="u")
    assert not await database.put_leadership(taking_over, leader), "it has renewed its lease"
    assert await database.put_leadership(taking_over, alive)
    assert not await database.put_leadership(alive.model_copy(update={"beat": 2}), alive), (
        "the former leader no longer leads"
    )


@pytest.mark.parametrize("kind", SHARED)
async def test_several_servers_may_open_one_database_at_once(kind: str, tmp_path: Path) -> None:
    """Given an empty database, when servers start on it at the same time, each finds its schema."""
    async with run("database", kind, tmp_path) as url:
        servers = [new(url) for _ in range(4)]
        assert all(server.shared for server in servers)
        await asyncio.gather(*(server.open() for server in servers))
        await servers[0].insert_job(a_job("one"))
        assert [await server.job("j-one") for server in servers] == [await servers[0].job("j-one")] * 4
        await asyncio.gather(*(server.close() for server in servers))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", SHARED)
async def test_a_database_that_cannot_be_reached_is_named_without_its_password(kind: str) -> None:
    database = new(f"{kind}://someone:hunter2@127.0.0.1:9/headway")
    with pytest.raises(SettingInvalid, match=r"HEADWAY_DATABASE_URL is .*someone:\*\*\*@127.0.0.1:9") as refused:
        await database.open()
    assert "hunter2" not in str(refused.value)
    gc.collect()  # PyMongo leaves a socket open if it is closed while it connects


async def test_jobs_on_hold_are_not_in_the_queue(database: Database) -> None:
    held, other = [await database.insert_job(a_job(name)) for name in ("held", "other")]
    assert await database.replace_job(held.model_copy(update={"version": 2, "hold": True}))
    assert [job.id for job in await database.queued_jobs(None, 10)] == [other.id]
    assert await database.replace_job(held.model_copy(update={"version": 3, "hold": False}))
    assert [job.id for job in await database.queued_jobs(None, 10)] == [held.id, other.id]


async def test_jobs_are_counted_by_status(database: Database) -> None:
    failed = {"status": JobStatus.FAILED}
    for number, changes in enumerate(({}, {"hold": True}, failed, failed, {"project": "other"})):
        await database.insert_job(a_job(f"job-{number}").model_copy(update=changes))
    gone = await database.insert_job(a_job("gone"))
    assert await database.delete_job(newer(gone))
    assert await database.job_counts("default") == {"queued": 1, "paused": 1, "failed": 2}


async def test_checkpoint_parts_are_replaced_listed_and_gone_with_their_job(database: Database) -> None:
    job = await database.insert_job(a_job("one"))
    parts = [
        CheckpointPart(attempt=attempt, step=step, rank=rank, object_id="c/x", size_bytes=1, sha256="a" * 64)
        for attempt, step, rank in ((1, 20, 1), (1, 20, 0), (2, 3, 0), (1, 10, 0))
    ]
    for part in parts:
        await database.put_checkpoint_part(job.id, part)
    newer_part = parts[0].model_copy(update={"object_id": "c/y"})
    await database.put_checkpoint_part(job.id, newer_part)
    assert await database.checkpoint_parts(job.id) == [parts[3], parts[1], newer_part, parts[2]]
    await database.delete_checkpoint_part(job.id, parts[3])
    assert len(await database.checkpoint_parts(job.id)) == 3
    assert await database.checkpoint_parts("j-other") == []
    assert await database.delete_job(newer(job, status=JobStatus.FAILED))
    assert await database.checkpoint_parts(job.id) == []


async def test_all_jobs_by_age_with_tombstones(database: Database) -> None:
    stored = [await database.insert_job(a_job(name)) for name in ("one", "two", "three")]
    assert await database.delete_job(newer(stored[1], status=JobStatus.FAILED))
    found = await database.jobs_by_age(0, 2)
    assert [(one.job.name, one.deleted) for one in found] == [("one", False), ("two", True)]
    (last,) = await database.jobs_by_age(found[-1].job.sequence, 2)
    assert last.job == stored[2]


async def test_it_is_read_beside_a_server(database_url: str, database: Database) -> None:
    """Given a running server, another process reads its data without the lock."""
    reader = new(database_url)
    await reader.open_to_read()
    assert await reader.installation_if_any() is None
    proposed = Installation(id="i-1", secret="s")
    await database.installation(proposed)
    job = await database.insert_job(a_job("one"))
    await database.streams.insert([a_report(1)])
    assert await reader.installation_if_any() == proposed
    assert [one.job for one in await reader.jobs_by_age(0, 9)] == [job]
    assert await reader.streams.reports("j", 1, "w", 0, 9, 9) == [a_report(1)]
    await reader.close()
