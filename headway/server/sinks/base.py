"""The contract of an event sink: a place that gets the events of all jobs, such as rows in the database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from headway.core.job import Event, Job


@dataclass(frozen=True, slots=True)
class NewEvents:
    """The events of a job that a sink does not have yet, in order, and the job as of the last of them."""

    job: Job
    events: tuple[Event, ...]


class EventSink(ABC):
    """Takes the events of each job in the order of their numbers.

    A job keeps its events until all sinks have taken them. So a sink may fail: it gets the events again, and the others
    do not wait for it. After a restart it gets all events that jobs still keep. So a sink must recognize an event that
    it already has by (job id, event number). When a job is deleted, events that a sink has not taken are lost.
    """

    name: ClassVar[str]

    @abstractmethod
    async def take(self, new: Sequence[NewEvents]) -> None:
        """Store the events of some jobs. They are safe when this returns. After any error all of them are given again.

        Raises a HeadwayError, such as Unavailable, for a temporary failure. Any other error is a defect of the sink:
        then jobs are given one by one, so that one of them does not block the others.
        """
