"""The progress of a job's training: its step, its rate, and the time left."""

from __future__ import annotations

from headway.core.frozen import Frozen
from headway.core.job import Job

_LEAST_STEPS = 2
"""A rate needs this many steps."""


class TrainingProgress(Frozen):
    """The progress of the current attempt."""

    step: int
    """The newest logged step."""
    total_steps: int | None
    """The total number of steps, if the script declares it."""
    steps_per_second: float | None
    """The mean rate of this attempt since its first step."""
    remaining_seconds: float | None
    """The time left at this rate, if the total number of steps is known."""


def training_progress(job: Job, step: int | None, now: float) -> TrainingProgress | None:
    """The progress of a live job. `step`: its newest logged step. None before its first step, and after its end."""
    attempt = job.attempt
    if attempt is None or attempt.ended_at is not None or step is None:
        return None
    began, done = attempt.stages.get("first_step"), step - (attempt.restored_step or 0)
    rate = None if began is None or done < _LEAST_STEPS or now <= began else done / (now - began)
    left = None if attempt.total_steps is None else max(0, attempt.total_steps - step)
    return TrainingProgress(
        step=step,
        total_steps=attempt.total_steps,
        steps_per_second=rate,
        remaining_seconds=None if rate is None or left is None else left / rate,
    )
