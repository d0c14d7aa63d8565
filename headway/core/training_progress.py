"""How far a job's training is: its step, its rate, and the time that is left."""

from __future__ import annotations

from headway.core.frozen import Frozen
from headway.core.job import Job

_LEAST_STEPS = 2
"""A rate needs so many steps."""


class TrainingProgress(Frozen):
    """How far the attempt that trains now is."""

    step: int
    """The newest step that was logged."""
    total_steps: int | None
    """How many steps there will be, if the script says so."""
    steps_per_second: float | None
    """The mean rate of this attempt since its first step."""
    remaining_seconds: float | None
    """The time that is left at this rate, if the number of steps is known."""


def training_progress(job: Job, step: int | None, now: float) -> TrainingProgress | None:
    """How far a live job is. `step`: the newest that it logged. None before its first step, and after its end."""
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
