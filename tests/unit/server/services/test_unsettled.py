"""Queries over unsettled jobs."""

from __future__ import annotations

from headway.core import transitions
from headway.core.checkpoint import Checkpoint
from headway.core.job import Job, JobSpec
from headway.core.job_change import update_assignment
from headway.core.placement import Share
from headway.core.status import AssignmentState, JobStatus
from headway.server.services.unsettled import UnsettledJobs


def a_job(name: str, *workers: str, **fields: object) -> Job:
    """A job with one rank on each of these workers, or queued."""
    spec = JobSpec(script="s.py", source="1", world_size=max(1, len(workers)))
    job = Job(
        id=f"j-{name}", project="default", name=name, idempotency_key=name, body_hash="", spec=spec, created_at=1.0
    ).model_copy(update=fields)
    if not workers:
        return job
    return transitions.place(job, [Share(worker, worker, rank, 1) for rank, worker in enumerate(workers)], 1.0)


def kept(*jobs: Job) -> UnsettledJobs:
    unsettled = UnsettledJobs()
    for job in jobs:
        unsettled.keep(job)
    return unsettled


def test_jobs_are_known_while_they_are_unsettled() -> None:
    unsettled, job = kept(a_job("one", "w-1")), a_job("one", "w-1")
    assert unsettled.find("j-one") == job
    unsettled.keep(job.model_copy(update={"status": JobStatus.SUCCEEDED, "events": (), "wakeups": ()}))
    assert unsettled.find("j-one") is None


def test_a_queued_job_is_known_only_until_its_events_are_delivered() -> None:
    queued = a_job("one")
    assert kept(queued).find("j-one") is None
    assert kept(transitions.pause(queued, 1.0)).find("j-one") is not None


def test_slots_are_held_until_their_assignment_is_released() -> None:
    both, one = a_job("both", "w-1", "w-2"), a_job("one", "w-1")
    unsettled = kept(both, one)
    assert [held.job.name for held in unsettled.held_by("w-1")] == ["both", "one"]
    assert [held.assignment.first_rank for held in unsettled.held_by("w-2")] == [1]
    assert unsettled.used_slots() == {"w-1": 2, "w-2": 1}
    unsettled.keep(update_assignment(both, "w-1", state=AssignmentState.RELEASED))
    assert [held.job.name for held in unsettled.held_by("w-1")] == ["one"]
    assert unsettled.used_slots() == {"w-1": 1, "w-2": 1}
    assert unsettled.held_by("w-3") == []


def test_claimed_jobs_are_told_apart_from_offered_ones() -> None:
    offered = a_job("one", "w-1")
    claimed = transitions.claim(a_job("two", "w-1", "w-2"), 1, "w-1", "h:1")
    unsettled = kept(offered, claimed)
    assert [job.name for job in unsettled.claimed_by("w-1")] == ["two"]
    assert unsettled.claimed_by("w-2") == []
    unsettled.keep(update_assignment(claimed, "w-1", state=AssignmentState.RELEASED))
    assert unsettled.claimed_by("w-1") == []


def test_the_next_attempt_is_found_by_its_own_workers() -> None:
    first = a_job("one", "w-1", "w-2")
    ended = first.model_copy(update={"status": JobStatus.QUEUED})
    second = transitions.place(ended, [Share("w-2", "w-2", 0, 1), Share("w-3", "w-3", 1, 1)], 2.0)
    unsettled = kept(first, second)
    assert unsettled.held_by("w-1") == []
    assert [held.attempt.number for held in unsettled.held_by("w-2")] == [2]
    assert [held.assignment.first_rank for held in unsettled.held_by("w-3")] == [1]


def test_active_and_settling_jobs_are_told_apart() -> None:
    active = a_job("active", "w-1")
    settling = a_job("settling", settling=(1,))
    again = a_job("again", "w-1", settling=(1,))
    unsettled = kept(active, settling, again)
    assert [job.name for job in unsettled.active()] == ["active", "again"]
    assert [job.name for job in unsettled.settling()] == ["settling", "again"]


def test_the_jobs_that_started_from_anothers_checkpoint_are_found() -> None:
    checkpoint = Checkpoint(attempt=1, step=3, world_size=1, at=1.0, job="j-source")
    unsettled = kept(a_job("fork", "w-1", checkpoints=(checkpoint,)), a_job("other", "w-1"))
    assert [job.name for job in unsettled.started_from("j-source")] == ["fork"]
    assert unsettled.started_from("j-fork") == []


def test_an_answer_stays_as_it_is_while_jobs_change() -> None:
    unsettled = kept(a_job("one", "w-1"), a_job("two", "w-1"))
    for job in unsettled.active():
        unsettled.forget(job.id)
    assert unsettled.active() == []
