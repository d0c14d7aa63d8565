"""The contract of an event sink: a place that events of all jobs go to, such as their rows in the database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from headway.core.job import Event, Job


@dataclass(frozen=True, slots=True)
class NewEvents:
    """Events of a job that a sink does not have yet, by number, and the job as of the last of them."""

    job: Job
    events: tuple[Event, ...]


class EventSink(ABC):
    """Takes the events of each job in the order of their numbers.

    A job keeps its events until all sinks have taken them. So a sink may fail: it is given them again, and the others
    do not wait for it. After a restart it is given all that jobs still keep, so a sink must know an event that it has
    by (job id, event number). A job that is deleted takes along what a sink has not taken yet.
    """

    name: ClassVar[str]

    @abstractmethod
    async def take(self, new: Sequence[NewEvents]) -> None:
        """Keep the events of some jobs; when this returns they are safe. After any error all are given again.

        Raises a HeadwayError, such as Unavailable, for what may pass. Any other error is a defect of the sink: then
        jobs are given one by one, so that one of them does not stop the rest.
        """
