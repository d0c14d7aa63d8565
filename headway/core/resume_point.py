"""Sentences that say from where a stopped job continues. Pure."""

from __future__ import annotations

from headway.core.job import Job
from headway.core.status import JobStatus


def resumes_from(job: Job) -> int | None:
    """The step of the checkpoint from which the job's next attempt continues; None: it starts from the beginning."""
    return job.checkpoints[-1].step if job.checkpoints else None


def resume_sentence(job: Job) -> str:
    """From where the job's next attempt starts."""
    if job.checkpoints:
        return f"It will continue from {job.checkpoints[-1].words}."
    if job.attempt is None or job.attempt.started_at is None:
        return "It will start from the beginning."
    words = "It saved no checkpoint, so it will start from the beginning."
    left = sorted(name for name, one in job.left_files.items() if one.attempt == job.attempt.number)
    found = [name for name in left if job.left_files[name].changed.count]
    if found:
        words += f" On worker {found[0]} it will find the files that it left in its working directory."
    return words


def stop_sentence(job: Job) -> str:
    """Says from where a job continues whose ranks are being stopped."""
    attempt = job.attempt
    if job.status is JobStatus.QUEUED or attempt is None or attempt.started_at is None:
        return f"Job {job.name} is paused. {resume_sentence(job)}"
    if attempt.asks_to_save or job.spec.trainer is not None:
        return f"Job {job.name} saves and ends its ranks."
    if job.checkpoints:
        words = job.checkpoints[-1].words
        return f"Job {job.name} ends its ranks. If they save nothing now, it will continue from {words}."
    return f"Job {job.name} has saved no checkpoint. If it saves none now, it will start from the beginning."
