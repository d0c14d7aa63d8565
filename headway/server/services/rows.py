"""What a list shows of a job beside the job itself: why it waits, how far it is, its curve and its owner."""

from __future__ import annotations

from typing import NamedTuple

from headway.core.curve import Curve
from headway.core.job import Job
from headway.core.training_progress import TrainingProgress
from headway.core.waiting import QueuePlaces, Waiting
from headway.server.directory import Directory
from headway.server.services.curves import Curves
from headway.server.services.explanations import Explanations
from headway.server.services.telemetry import Telemetry


class Row(NamedTuple):
    """A job of a list. `owner`: the name of the user who submitted it; None for the home's token."""

    job: Job
    sentence: str
    waiting: Waiting | None
    progress: TrainingProgress | None
    curve: Curve | None
    owner: str | None


class Rows:
    """Reads only what is in memory, so that a list costs little more than its jobs."""

    def __init__(self, explanations: Explanations, telemetry: Telemetry, curves: Curves, directory: Directory) -> None:
        self._explanations = explanations
        self._telemetry = telemetry
        self._curves = curves
        self._directory = directory

    def places(self, project: str) -> QueuePlaces:
        """The queue as it is now, for all rows of one list."""
        return self._explanations.places(project)

    def of(self, job: Job, places: QueuePlaces) -> Row:
        """The row of a job."""
        sentence, waits = self._explanations.briefly(job, places)
        submitted = job.submitted_by.user if job.submitted_by is not None else None
        owner = self._directory.user(submitted) if submitted is not None else None
        return Row(
            job=job,
            sentence=sentence,
            waiting=waits,
            progress=self._telemetry.progress(job),
            curve=self._curves.of(job),
            owner=owner.id if owner is not None else None,
        )
