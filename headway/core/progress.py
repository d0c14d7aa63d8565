"""Which metrics and log lines of an earlier attempt count after a later one continued from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from headway.core.attempt import Attempt


class LoggedSteps(NamedTuple):
    """The first and the last step that an attempt logged."""

    first: int
    last: int


def kept_through(attempts: Sequence[Attempt], logged: Sequence[LoggedSteps | None]) -> list[float]:
    """Per attempt, the last step whose metrics no later attempt repeated; infinity for the last attempt.

    An attempt that logged nothing and restored nothing, for example because it never started, repeats nothing. If an
    attempt reports that it continued from a step but logs earlier steps, the logged steps decide: each step counts
    once. The same holds for an attempt that continued from files in the working directory.
    """
    cuts: list[float] = []
    cut = inf
    for attempt, steps in zip(reversed(attempts), reversed(logged), strict=True):
        cuts.append(cut)
        if attempt.restored_step is not None:
            cut = min(cut, attempt.restored_step, steps.first - 1 if steps else inf)
        elif steps is not None:
            cut = min(cut, steps.first - 1) if attempt.continued_from is not None else -inf
    return cuts[::-1]


def repeated_steps(attempts: Sequence[Attempt], logged: Sequence[LoggedSteps | None]) -> list[int | None]:
    """Per attempt, how many steps it repeats: those done before it after the step from which it continued."""
    repeated: list[int | None] = []
    reached: int | None = None
    for attempt, steps in zip(attempts, logged, strict=True):
        begins = attempt.restored_step is not None or steps is not None
        before = attempt.restored_step or 0
        if attempt.restored_step is None and attempt.continued_from is not None and steps is not None:
            before = steps.first - 1
        repeated.append(None if reached is None or not begins else max(0, reached - before))
        if steps is not None:
            reached = max(reached or 0, steps.last)
    return repeated


def kept_until(attempts: Sequence[Attempt]) -> dict[int, float]:
    """Per attempt number, the worker's time after which a later attempt repeated its work."""
    cuts: dict[int, float] = {}
    cut = inf
    began = training_began(attempts)
    for attempt in reversed(attempts):
        cuts[attempt.number] = cut
        saved_at = attempt.restored_saved_at if attempt.restored_step is not None else attempt.continued_from
        if saved_at is not None:
            cut = min(cut, saved_at)
        elif attempt.restored_step is None and began[attempt.number] is not None:
            cut = -inf
    return cuts


def training_began(attempts: Sequence[Attempt]) -> dict[int, float | None]:
    """Per attempt number, when it began to train; None if it made no step and so repeats nothing.

    If no attempt of the job logs steps, training is counted from the start of the ranks.
    """
    logs_steps = any("first_step" in attempt.stages for attempt in attempts)
    return {
        attempt.number: attempt.stages.get("first_step") if logs_steps else attempt.started_at for attempt in attempts
    }
