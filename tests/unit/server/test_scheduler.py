"""When jobs are placed and when things are overdue, on a clock that the test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headway.core import transitions
from headway.core.facts import PrepareFailed
from headway.core.job import Job
from headway.core.placement import Share
from headway.core.status import AssignmentState, JobStatus
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio
LEASE_SECONDS = 10
CLAIM_SECONDS = 20
PREPARE_SECONDS = 100
STOP_SECONDS, GRACE_SECONDS = 30, 5
FULL = PrepareFailed(error="the disk is full")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StillServer]:
    async with still_server(
        tmp_path,
        lease_seconds=LEASE_SECONDS,
        claim_timeout_seconds=CLAIM_SECONDS,
        prepare_timeout_seconds=PREPARE_SECONDS,
        stop_timeout_seconds=STOP_SECONDS,
        stop_grace_seconds=GRACE_SECONDS,
        settle_seconds=1000,
    ) as server:
        yield server


def heard(server: StillServer, *workers: str, preparing: Job | None = None) -> None:
    """Let heartbeats of the workers come, each acknowledging a newer answer."""
    attempts = frozenset({(preparing.id, preparing.attempt_number)}) if preparing else frozenset()
    for worker in workers:
        server.leases.heartbeat(worker, int(server.clock.seconds) + 1, attempts)


async def pass_time(server: StillServer, seconds: int, *workers: str, preparing: Job | None = None) -> None:
    """Let seconds pass in which these workers send heartbeats."""
    for _ in range(seconds):
        heard(server, *workers, preparing=preparing)
        await server.pass_time(1)


async def offered(server: StillServer, *workers: str, **spec: Any) -> Job:
    """A job that was placed on these workers, as far as it needs them. They have just registered."""
    for name in workers:
        await server.a_worker(name)
    job = await server.a_job(**spec)
    await server.scheduler.schedule()
    return await server.now(job)


async def running(server: StillServer, **spec: Any) -> Job:
    """A job that runs on worker a."""
    return await server.run(await offered(server, "a", **spec))


async def fail_twice(server: StillServer, job: Job) -> None:
    """Each attempt of the two fails on its worker, while it is prepared."""
    for _ in range(2):
        job = await server.now(job)
        (worker,) = await server.workers_of(job)
        await server.fail(await server.claim(job), worker, FULL)
        await server.scheduler.schedule()


# Placing


async def test_the_queue_goes_by_priority_then_age(server: StillServer) -> None:
    await server.a_worker("a")
    old, urgent = await server.a_job(), await server.a_job(priority=1)
    await server.scheduler.schedule()
    assert (await server.now(urgent)).status is JobStatus.STARTING
    assert (await server.now(old)).status is JobStatus.QUEUED
    await server.finish(await server.run(await server.now(urgent)))
    await server.scheduler.schedule()
    assert (await server.now(old)).status is JobStatus.STARTING


async def test_a_gang_is_placed_whole_or_not_at_all(server: StillServer) -> None:
    await server.a_worker("a", slots=2)
    job = await server.a_job(world_size=3)
    await server.scheduler.schedule()
    assert await server.workers_of(job) == []
    await server.a_worker("b")
    await server.scheduler.schedule()
    assert sorted(await server.workers_of(job)) == ["a", "b"]


async def test_a_paused_job_is_skipped_until_it_is_resumed(server: StillServer) -> None:
    await server.a_worker("a")
    job = await server.a_job()
    await server.jobs.update(job.id, lambda job: transitions.pause(job, server.clock.now()))
    await server.scheduler.schedule()
    assert await server.workers_of(job) == []
    await server.jobs.update(job.id, lambda job: transitions.resume(job, server.clock.now()))
    await server.scheduler.schedule()
    assert await server.workers_of(job) == ["a"]


async def test_a_worker_that_is_being_shut_down_gets_nothing(server: StillServer) -> None:
    await server.a_worker("a")
    server.workers.stop_placing_on("a")
    job = await server.a_job()
    await server.scheduler.schedule()
    assert await server.workers_of(job) == []


async def test_a_job_that_was_deleted_meanwhile_is_left_alone(
    server: StillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a queue that still has a deleted job, then the job after it is placed."""
    await server.a_worker("a", slots=2)
    gone, job = await server.a_job(), await server.a_job()
    gangs = server.queue.gangs()
    await server.jobs.update(gone.id, lambda job: transitions.cancel(job, server.clock.now()))
    await server.deliver(gone)
    await server.jobs.delete(await server.now(gone))
    monkeypatch.setattr(server.queue, "gangs", lambda: gangs)
    await server.scheduler.schedule()
    assert await server.workers_of(job) == ["a"]


# The next attempt


async def test_the_next_attempt_avoids_the_worker_that_failed_the_last_for_a_minute(server: StillServer) -> None:
    """Given two workers of which one is busy, a job that failed on the other waits a minute for the busy one."""
    job = await offered(server, "a")
    await server.fail(await server.claim(await server.now(job)), "a", FULL)
    await server.a_worker("busy")
    await server.run(await _placed_on(server, await server.a_job(), "busy"))
    await server.scheduler.schedule()
    assert (await server.now(job)).status is JobStatus.QUEUED
    await pass_time(server, 59, "a", "busy")
    await server.scheduler.schedule()
    assert (await server.now(job)).status is JobStatus.QUEUED
    await pass_time(server, 2, "a", "busy")
    await server.scheduler.schedule()
    assert (await server.now(job)).attempt_number == 2
    assert await server.workers_of(job) == ["a"]


async def test_an_elastic_gang_shrinks_only_after_it_has_waited_for_more_workers(server: StillServer) -> None:
    await server.a_worker("a")
    job = await server.a_job(world_size=2, minimum_world_size=1)
    await server.a_worker("busy")
    await server.run(await _placed_on(server, await server.a_job(), "busy"))
    await server.scheduler.schedule()
    assert await server.workers_of(job) == []
    await pass_time(server, 5, "a", "busy")
    await server.scheduler.schedule()
    assert await server.workers_of(job) == ["a"]


async def test_failures_in_a_row_delay_the_next_attempt(server: StillServer) -> None:
    """The first retry comes at once. From the second on, each waits up to twice as long as the previous one."""
    job = await offered(server, *"abc")
    await fail_twice(server, job)
    assert (await server.now(job)).status is JobStatus.QUEUED
    await pass_time(server, 1, *"abc")
    await server.scheduler.schedule()
    assert (await server.now(job)).attempt_number == 3


async def test_a_delayed_job_that_is_cancelled_is_not_remembered(server: StillServer) -> None:
    """Otherwise the scheduler would check the queue every second forever."""
    job = await offered(server, *"ab")
    await fail_twice(server, job)
    assert server.scheduler.waits
    cancelled = await server.jobs.update(job.id, lambda job: transitions.cancel(job, server.clock.now()))
    await server.deliver(cancelled)  # everything is delivered: the job is settled before the next tick
    await server.scheduler.schedule()
    await server.pass_time(1)
    assert not server.scheduler.waits


# Deadlines


async def test_an_assignment_that_is_not_claimed_is_offered_elsewhere(server: StillServer) -> None:
    job = await offered(server, "a")
    await pass_time(server, CLAIM_SECONDS + 1, "a")
    assert (await server.now(job)).status is JobStatus.STARTING
    await pass_time(server, 1, "a")
    assert (await server.now(job)).status is JobStatus.QUEUED


async def test_preparing_has_the_longer_limit_and_then_the_shorter_one_counts(
    server: StillServer,
) -> None:
    job = await offered(server, "a")
    job = await server.claim(await server.now(job))
    await pass_time(server, PREPARE_SECONDS - 1, "a", preparing=job)
    await pass_time(server, CLAIM_SECONDS, "a")
    assert (await server.now(job)).status is JobStatus.STARTING
    await pass_time(server, 2, "a")
    job = await server.now(job)
    assert job.status is JobStatus.STOPPING
    assert job.attempt is not None
    assert job.attempt.reason == "prepare_timed_out"


async def test_a_worker_that_waits_for_the_rest_of_its_gang_has_the_longer_limit(server: StillServer) -> None:
    job = await offered(server, *"ab", world_size=2)
    await server.jobs.update(job.id, lambda job: transitions.claim(job, 1, "a", "127.0.0.1:1"))
    await pass_time(server, CLAIM_SECONDS + 1, *"ab")
    attempt = (await server.now(job)).attempt
    assert attempt is not None
    states = {one.worker: one.state for one in attempt.assignments}
    assert states == {"a": AssignmentState.CLAIMED, "b": AssignmentState.OFFERED}


async def test_a_worker_that_does_not_end_its_ranks_is_lost(server: StillServer) -> None:
    job = await running(server)
    await server.jobs.update(job.id, lambda job: transitions.cancel(job, server.clock.now()))
    await pass_time(server, STOP_SECONDS + GRACE_SECONDS + 1, "a")
    assert (await server.now(job)).status is JobStatus.STOPPING
    await pass_time(server, 1, "a")
    assert (await server.now(job)).status is JobStatus.CANCELLED
    assert server.registry.worker("a").lost_because == "it did not end its ranks within 35 s"


async def test_ranks_that_save_have_the_longer_grace(server: StillServer) -> None:
    job = await running(server)
    await server.jobs.update(job.id, lambda job: transitions.pause(job, server.clock.now()))
    longer = STOP_SECONDS + round(server.settings.save_grace_seconds)
    await pass_time(server, longer + 1, "a")
    assert (await server.now(job)).status is JobStatus.STOPPING
    await pass_time(server, 1, "a")
    assert (await server.now(job)).status is JobStatus.QUEUED


async def test_a_silent_worker_is_lost_with_its_ranks(server: StillServer) -> None:
    job = await running(server)
    await server.pass_time(LEASE_SECONDS + 1)
    job = await server.now(job)
    assert (job.status, job.attempt and job.attempt.reason) == (JobStatus.QUEUED, "worker_lost")
    assert server.counters.lost_workers == 1


async def test_a_job_that_ran_for_its_time_is_ended(server: StillServer) -> None:
    job = await running(server, timeout_seconds=60)
    await pass_time(server, 60, "a")
    assert (await server.now(job)).status is JobStatus.RUNNING
    await pass_time(server, 2, "a")
    job = await server.now(job)
    assert (job.status, job.attempt and job.attempt.reason) == (JobStatus.STOPPING, "timed_out")


async def test_streams_of_an_ended_attempt_settle_within_a_limit(server: StillServer) -> None:
    """Given a cancelled job whose worker was lost, the job waits for its reports, but not longer than the limit."""
    job = await running(server)
    await server.jobs.update(job.id, lambda job: transitions.lose_worker(job, "a", server.clock.now()))
    assert (await server.now(job)).settling
    await pass_time(server, 1001, "a")
    assert (await server.now(job)).settling
    await pass_time(server, 1, "a")
    assert not (await server.now(job)).settling


# A server that was paused


async def test_a_server_that_was_paused_gives_everyone_a_full_term(server: StillServer) -> None:
    await server.a_worker("a")
    await server.a_worker("b")
    unclaimed = await server.a_job()
    await server.scheduler.schedule()
    await pass_time(server, CLAIM_SECONDS - 1, "a", "b")
    server.clock.seconds += 3600
    await server.scheduler.tick()
    assert {worker.name for worker in server.registry.workers()} == {"a", "b"}
    await pass_time(server, CLAIM_SECONDS, "a")
    assert (await server.now(unclaimed)).status is JobStatus.STARTING
    assert {worker.name for worker in server.registry.workers()} == {"a"}, "b was silent for a whole lease"


async def _placed_on(server: StillServer, job: Job, worker: str) -> Job:
    """Place the job on that worker, whatever else is queued."""
    share = [Share(worker, worker, 0, 1)]
    return await server.jobs.update(job.id, lambda job: transitions.place(job, share, server.clock.now()))
