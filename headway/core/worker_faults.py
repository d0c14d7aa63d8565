"""Faults of workers: who is charged for them, which workers a job avoids, and when a worker is quarantined.

A fault is a worker's own if the worker cannot start or keep any ranks: its forkserver dies, or its disk is full. A job
can cause the same error on every worker. So one job alone never quarantines a worker, and a job that has such errors on
several workers is charged for them itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from headway.core.attempt import Attempt
from headway.core.end_reason import EndReason
from headway.core.job import Job
from headway.core.worker import Quarantine, Worker, WorkerFault

FREE_FAULTS = 3
"""This many workers' faults in a row cost a job no retry. Further ones do, so that it does not run for ever."""
_SEVERAL_WORKERS = 3
"""A job with faults on this many workers is considered their cause."""
_QUARANTINE_FAULTS, _QUARANTINE_JOBS = 3, 2
"""A worker is quarantined after this many faults in a row, from at least this many jobs."""
_REMEMBERED_FAULTS = 20
_AVOIDED = frozenset(
    {
        EndReason.WORKER_FAULTY,
        EndReason.RANKS_VANISHED,
        EndReason.WORKER_LOST,
        EndReason.WORKER_FAILED,
        EndReason.PREPARE_FAILED,
        EndReason.PREPARE_TIMED_OUT,
        EndReason.ASSIGNMENT_IGNORED,
    }
)


def is_fault(attempt: Attempt, reason: EndReason) -> bool:
    """Whether an attempt ended by a worker's own fault: its ranks did not start, or vanished.

    An attempt whose ranks all finished had no fault.
    """
    return reason.of_worker and not all(one.finished(said=False) for one in attempt.assignments)


def charged(attempt: Attempt, reason: EndReason, faulty_workers: Sequence[str]) -> bool:
    """Whether an attempt that ended for `reason` uses up a retry of its job.

    `faulty_workers`: the workers whose faults ended the job's last attempts, including this one.
    """
    if not is_fault(attempt, reason):
        return reason.counted
    return len(set(faulty_workers)) >= _SEVERAL_WORKERS or len(faulty_workers) > FREE_FAULTS


def avoided_workers(job: Job) -> frozenset[str]:
    """The names of the workers that the job's next attempt avoids if others can take it.

    One rank killed from outside may be an accident. If it happens again, the worker is avoided.
    """
    failure = job.attempt.failure if job.attempt else None
    avoided = set(job.faulty_workers)
    if failure is not None:
        killed_again = failure.reason is EndReason.RANK_KILLED and job.failures_in_row > 1
        if killed_again or failure.reason in _AVOIDED:
            avoided.add(failure.worker_name)
    return frozenset(avoided)


def breaks_workers(faulty_workers: Collection[str], fleet: Collection[str]) -> bool:
    """Whether a job has faults on so many workers that it is considered their cause. `fleet`: workers it could use."""
    names = set(faulty_workers)
    return len(names) >= _SEVERAL_WORKERS or (len(names) > 1 and names.issuperset(fleet))


def blamed(worker: Worker, fault: WorkerFault, others: Sequence[Worker]) -> Worker:
    """The worker after one more fault, quarantined if there are too many. Repeating a fault changes nothing.

    If it is the last of several workers that takes jobs, it is never quarantined.
    """
    if any((one.job, one.attempt) == (fault.job, fault.attempt) for one in worker.faults):
        return worker
    changes: dict[str, Any] = {"faults": (*worker.faults, fault)[-_REMEMBERED_FAULTS:]}
    if worker.quarantine is not None and fault.placed_at >= worker.quarantine.since:
        tries = worker.quarantine.failed_tries + 1
        changes["quarantine"] = worker.quarantine.model_copy(update={"reason": fault.error, "failed_tries": tries})
    elif worker.quarantine is None and _suffices(changes["faults"]) and _spared(others):
        changes["quarantine"] = Quarantine(reason=fault.error, since=fault.at)
    return worker.model_copy(update=changes)


def excused(worker: Worker, job: str) -> Worker:
    """The worker without the faults of a job that turned out to be their cause."""
    faults = tuple(one.model_copy(update={"counts": False}) if one.job == job else one for one in worker.faults)
    if faults == worker.faults:
        return worker
    quarantine = worker.quarantine if _suffices(faults) else None
    return worker.model_copy(update={"faults": faults, "quarantine": quarantine})


def proven(worker: Worker, placed_at: float) -> Worker:
    """The worker after ranks placed at `placed_at` ran on it: earlier faults do not count any more."""
    counting = [one for one in worker.faults if one.counts]
    return worker if not counting or placed_at < counting[-1].at else restored(worker)


def restored(worker: Worker) -> Worker:
    """The worker without quarantine. Its faults are remembered, so that none is counted twice."""
    faults = tuple(one.model_copy(update={"counts": False}) for one in worker.faults)
    return worker.model_copy(update={"faults": faults, "quarantine": None})


def _spared(others: Sequence[Worker]) -> bool:
    return not others or any(one.takes_jobs for one in others)


def _suffices(faults: Sequence[WorkerFault]) -> bool:
    counting = [one for one in faults if one.counts]
    return len(counting) >= _QUARANTINE_FAULTS and len({one.job for one in counting}) >= _QUARANTINE_JOBS
