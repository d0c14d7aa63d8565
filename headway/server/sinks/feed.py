"""Feeds one sink: gives it new events, and gives events again that it could not take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headway.core.job import Job
from headway.errors import HeadwayError
from headway.server.counters import ServerCounters
from headway.server.sinks.base import EventSink, NewEvents

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_GATHER_SECONDS = 0.01
"""Events that come meanwhile are given together, in one write."""


class SinkFeed:
    """Keeps a cursor per job: the last event that the sink has."""

    def __init__(self, sink: EventSink, taken: Callable[[Job], Awaitable[None]], counters: ServerCounters) -> None:
        """`taken` is called with each job whose events the sink has taken. If it raises HeadwayError, it is called
        again.
        """
        self._sink = sink
        self._taken = taken
        self._counters = counters
        self._waiting: dict[str, Job] = {}
        self._cursors: dict[str, int] = {}
        self._woken = asyncio.Event()
        self._failing = False

    def cursor(self, job_id: str) -> int:
        """The number of the last event of the job that the sink has; 0 if it has none, or its cursor was forgotten."""
        return self._cursors.get(job_id, 0)

    def forget(self, job_id: str) -> None:
        """The job no longer keeps events."""
        self._cursors.pop(job_id, None)
        self._waiting.pop(job_id, None)

    def offer(self, job: Job) -> None:
        """Give the job's new events soon."""
        self._waiting[job.id] = job
        self._woken.set()

    async def run(self) -> None:
        """Give events forever."""
        while True:
            await self._woken.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._woken.clear()
            jobs, self._waiting = self._waiting, {}
            left = await self._give(list(jobs.values()))
            if left:
                self._waiting = {job.id: job for job in left} | self._waiting
                self._woken.set()
                await asyncio.sleep(_RETRY_SECONDS)
            elif self._failing:
                self._failing = False
                _log.info("Event sink %s takes events again.", self._sink.name)

    async def _give(self, jobs: list[Job]) -> list[Job]:
        """Give the new events of these jobs. Returns the jobs to be given again."""
        try:
            await self._take(jobs)
        except HeadwayError as error:
            self._say("Sink %s does not take events; it is tried again: %s", self._sink.name, error)
        except Exception as error:
            if len(jobs) > 1:
                return [left for job in jobs for left in await self._give([job])]
            words = "A defect of sink %s: it does not take events of job %s. It is tried again. Please report this: %r"
            self._say(words, self._sink.name, jobs[0].name, error)
        else:
            return []
        return jobs

    async def _take(self, jobs: list[Job]) -> None:
        new = [NewEvents(job, tuple(one for one in job.events if one.number > self.cursor(job.id))) for job in jobs]
        if any(one.events for one in new):
            await self._sink.take([one for one in new if one.events])
        for job in jobs:
            self._cursors[job.id] = job.event_count
            await self._taken(job)

    def _say(self, words: str, *values: object) -> None:
        """Count a failure; log it once, until the sink takes events again."""
        self._counters.failed_deliveries += 1
        if not self._failing:
            _log.error(words, *values, exc_info=not isinstance(values[-1], HeadwayError))
        self._failing = True
