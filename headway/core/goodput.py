"""Where a job's time went: into training that counts, training done again, starting, and waiting."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import computed_field

from headway.core.attempt import Attempt
from headway.core.frozen import Frozen
from headway.core.job import Job
from headway.core.progress import kept_until, training_began


class Goodput(Frozen):
    """Seconds of the job's life. `repeated`: training after the checkpoint from which a later attempt continued."""

    useful_seconds: float = 0.0
    repeated_seconds: float = 0.0
    startup_seconds: float = 0.0
    waiting_seconds: float = 0.0
    paused_seconds: float = 0.0

    @computed_field  # type: ignore[prop-decorator] # https://github.com/python/mypy/issues/14461
    @property
    def fraction(self) -> float | None:
        """The useful share of the time, without waiting and pauses; None before anything ran."""
        busy = self.useful_seconds + self.repeated_seconds + self.startup_seconds
        return self.useful_seconds / busy if busy else None

    def plus(self, other: Goodput) -> Goodput:
        """The sums of both."""
        return Goodput(**{name: getattr(self, name) + getattr(other, name) for name in Goodput.model_fields})


def goodput(job: Job, attempts: Sequence[Attempt], now: float) -> Goodput:
    """Account for the time from submission to `now`, or to the job's end. `attempts` are sorted by number."""
    ended_at = now if job.ended_at is None else job.ended_at
    useful = repeated = startup = 0.0
    busy = 0.0
    began, cuts = training_began(attempts), kept_until(attempts)
    for attempt in attempts:
        end = ended_at if attempt.ended_at is None else attempt.ended_at
        first_step = min(end if (at := began[attempt.number]) is None else at, end)
        kept = cuts[attempt.number]
        startup += max(0.0, first_step - attempt.placed_at)
        useful += max(0.0, min(kept, end) - first_step)
        repeated += max(0.0, end - max(first_step, kept))
        busy += max(0.0, end - attempt.placed_at)
    held = job.held_seconds + (max(0.0, now - job.held_at) if job.held_at is not None else 0.0)
    waiting = max(0.0, ended_at - job.created_at - busy - held)
    return Goodput(
        useful_seconds=useful,
        repeated_seconds=repeated,
        startup_seconds=startup,
        waiting_seconds=waiting,
        paused_seconds=held,
    )
