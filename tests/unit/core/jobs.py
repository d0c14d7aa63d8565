"""Jobs in the states where tests of the state machine begin, and their transitions."""

from __future__ import annotations

from headway.core import transitions
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import (
    OutputsStored,
    RankEnded,
    RankFinished,
    RankStarted,
)
from headway.core.job import Job, JobSpec
from headway.core.placement import Share
from headway.core.status import JobStatus

NOW = 1000.0


def queued(world_size: int = 2, retries: int = 3) -> Job:
    spec = JobSpec(script="s.py", source="", world_size=world_size, retries=retries)
    return Job(id="j-1", project="default", name="s", idempotency_key="k", body_hash="h", spec=spec, created_at=NOW)


def placed(job: Job | None = None, *, workers: int = 1) -> Job:
    job = job or queued()
    each = job.spec.world_size // workers
    shares = [Share(f"w{n}", f"worker{n}", n * each, each) for n in range(workers)]
    return transitions.place(job, shares, NOW)


def running(job: Job | None = None, *, workers: int = 1) -> Job:
    job = placed(job, workers=workers)
    assert job.attempt is not None
    for assignment in job.attempt.assignments:
        job = transitions.claim(job, job.attempt_number, assignment.worker, f"host:{assignment.first_rank}")
    for assignment in job.attempt.assignments:
        ranks = range(assignment.first_rank, assignment.first_rank + assignment.rank_count)
        job = report(job, assignment.worker, *(RankStarted(rank=rank, pid=1) for rank in ranks))
    assert job.status is JobStatus.RUNNING
    return job


def report(job: Job, worker: str, *facts: object, last: bool = False, number: int | None = None) -> Job:
    assignment = job.attempt.assignment_of(worker)
    number = number or assignment.applied + 1
    return apply_facts(job, job.attempt_number, [ReportedFacts(worker, number, facts, last)], NOW)


def finish(job: Job, worker: str = "w0", ranks: tuple[int, ...] = (0, 1)) -> Job:
    facts = [RankFinished(rank=rank) for rank in ranks]
    facts += [RankEnded(rank=rank, at=NOW, exit_code=0, finished=True) for rank in ranks]
    facts += [OutputsStored()]
    return report(job, worker, *facts)


def ended_rank(rank: int = 1, **fields: object) -> RankEnded:
    return RankEnded(rank=rank, at=NOW, **fields)
