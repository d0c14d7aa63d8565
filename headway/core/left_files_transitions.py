"""Transitions of a job by the files in its working directories on workers. Pure, as all transitions."""

from __future__ import annotations

from headway.core.attempt import Assignment, Attempt
from headway.core.facts import FilesLeft, WorkingDirectoryReady
from headway.core.job import Job
from headway.core.job_change import emit, update_attempt, warn
from headway.core.left_files import FileList, LeftFiles, not_kept, outputs_not_stored, stayed_behind

_MAXIMUM_WORKERS = 100
"""A job remembers the files of this many workers: the newest."""


def files_left(job: Job, assignment: Assignment, fact: FilesLeft, now: float) -> Job:
    """The worker reports the files in the job's working directory after its ranks have ended."""
    left = LeftFiles(
        attempt=job.attempt_number,
        folder=fact.folder,
        changed=fact.changed,
        unstored=fact.unstored,
        kept_seconds=fact.kept_seconds,
    )
    job = _remember(job, assignment.worker_name, left)
    if fact.outputs.count:
        job = warn(job, outputs_not_stored(assignment.worker_name, left, fact.outputs), now)
    return job


def files_unknown(job: Job, assignment: Assignment) -> Job:
    """The worker was lost, so the files that its ranks left are not known."""
    if not assignment.started_ranks or job.spec.trainer is not None or assignment.outputs_stored:
        return job
    return _remember(job, assignment.worker_name, LeftFiles(attempt=job.attempt_number, lost=True))


def _remember(job: Job, worker_name: str, left: LeftFiles) -> Job:
    others = {name: one for name, one in job.left_files.items() if name != worker_name}
    newest = dict(list({**others, worker_name: left}.items())[-_MAXIMUM_WORKERS:])
    return job.model_copy(update={"left_files": newest})


def directory_ready(job: Job, attempt: Attempt, assignment: Assignment, fact: WorkingDirectoryReady, now: float) -> Job:
    """The attempt finds what an earlier one left on this worker, or starts with the files as they were sent."""
    own = job.left_files.get(assignment.worker_name)
    if not fact.fresh:
        if fact.changed_count:
            data = {"attempt": attempt.number, "worker": assignment.worker_name, "files": fact.changed_count}
            job = emit(job, "working_directory.kept", now, **data)
        return job
    here = {one.worker_name for one in attempt.assignments} - {assignment.worker_name}
    away = {name: one for name, one in job.left_files.items() if name not in here and (one.changed.count or one.lost)}
    if own is not None:
        left = {name: one for name, one in job.left_files.items() if name != assignment.worker_name}
        job = job.model_copy(update={"left_files": left})
    newest = max((one.attempt for one in away.values()), default=0)
    away = {name: one for name, one in away.items() if one.attempt == newest}
    if not away or (job.checkpoints and all(one.lost for one in away.values())):
        return job  # the checkpoint has what the script needs
    if attempt.warned_of_files:
        return job
    job = update_attempt(job, warned_of_files=True)
    return warn(job, stayed_behind(attempt.number, assignment.worker_name, away), now)


def warn_of_unstored(job: Job, now: float) -> Job:
    """At the job's end: warn of the files of its last attempt that are not artifacts."""
    left = {name: one for name, one in job.left_files.items() if one.attempt == job.attempt_number}
    unstored = {name: one for name, one in left.items() if one.unstored.count}
    if not unstored:
        return job
    files = FileList()
    for one in unstored.values():
        files = files.plus(one.unstored)
    first = unstored[min(unstored)]
    return warn(job, not_kept(files, unstored, first), now)
