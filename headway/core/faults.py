"""Faults of workers: who is charged for them, which workers a job avoids, and when a worker is quarantined.

A fault is a worker's own when it cannot start or keep ranks whatever they run: its forkserver dies, its disk is full.
A job can cause the same everywhere, so no worker is blamed by one job alone, nor by a job that fails so on several.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from headway.core.attempt import Attempt
from headway.core.end_reason import EndReason
from headway.core.job import Job
from headway.core.worker import Quarantine, Worker, WorkerFault

FREE_FAULTS = 3
"""So many faults of workers in a row cost a job no retry; further ones do, or it would be tried for ever."""
_SEVERAL_WORKERS = 3
"""A job that meets faults on so many workers causes them."""
_QUARANTINE_FAULTS, _QUARANTINE_JOBS = 3, 2
"""A worker is quarantined after so many faults in a row, of so many jobs at least."""
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
    """Whether an attempt that ended for `reason` did so by a worker's own fault: its ranks did not start, or vanished.

    Ranks that all finished had what they needed.
    """
    return reason.of_worker and not all(one.finished(said=False) for one in attempt.assignments)


def charged(attempt: Attempt, reason: EndReason, faulty_workers: Sequence[str]) -> bool:
    """Whether an attempt that ended for `reason` uses up a retry of its job.

    `faulty_workers`: those whose own faults ended the job's last attempts, this one among them.
    """
    if not is_fault(attempt, reason):
        return reason.counted
    return len(set(faulty_workers)) >= _SEVERAL_WORKERS or len(faulty_workers) > FREE_FAULTS


def avoided_workers(job: Job) -> frozenset[str]:
    """The names of the workers that the job's next attempt is not to run on if others can take it.

    A rank that was killed from outside may be an accident; when it happens again, the worker is avoided.
    """
    failure = job.attempt.failure if job.attempt else None
    avoided = set(job.faulty_workers)
    if failure is not None:
        killed_again = failure.reason is EndReason.RANK_KILLED and job.failures_in_row > 1
        if killed_again or failure.reason in _AVOIDED:
            avoided.add(failure.worker_name)
    return frozenset(avoided)


def breaks_workers(faulty_workers: Collection[str], fleet: Collection[str]) -> bool:
    """Whether a job meets faults on so many workers that it must be their cause. `fleet`: those that it could use."""
    names = set(faulty_workers)
    return len(names) >= _SEVERAL_WORKERS or (len(names) > 1 and names.issuperset(fleet))


def blamed(worker: Worker, fault: WorkerFault, others: Sequence[Worker]) -> Worker:
    """The worker after one more fault, perhaps quarantined; repeating a fault changes nothing.

    The last of several workers that takes jobs is never quarantined: what fails there, too, is not for one worker.
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
    """The worker once its faults in a job's attempts turned out to be of the job's making."""
    faults = tuple(one.model_copy(update={"counts": False}) if one.job == job else one for one in worker.faults)
    if faults == worker.faults:
        return worker
    quarantine = worker.quarantine if _suffices(faults) else None
    return worker.model_copy(update={"faults": faults, "quarantine": quarantine})


def proven(worker: Worker, placed_at: float) -> Worker:
    """The worker once ranks have worked on it that were placed at `placed_at`: what it did wrong before is over."""
    counting = [one for one in worker.faults if one.counts]
    return worker if not counting or placed_at < counting[-1].at else restored(worker)


def restored(worker: Worker) -> Worker:
    """The worker with a clean slate. Its faults are remembered, so that none is counted again."""
    faults = tuple(one.model_copy(update={"counts": False}) for one in worker.faults)
    return worker.model_copy(update={"faults": faults, "quarantine": None})


def _spared(others: Sequence[Worker]) -> bool:
    return not others or any(one.takes_jobs for one in others)


def _suffices(faults: Sequence[WorkerFault]) -> bool:
    counting = [one for one in faults if one.counts]
    return len(counting) >= _QUARANTINE_FAULTS and len({one.job for one in counting}) >= _QUARANTINE_JOBS
