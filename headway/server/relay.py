"""Delivers what jobs keep for delivery: wake-ups to the broker, events to the sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from headway.brokers.base import Broker
from headway.core.job import Job
from headway.server.counters import ServerCounters
from headway.server.services.jobs import Jobs
from headway.server.sinks.base import EventSink
from headway.server.sinks.feed import SinkFeed
from headway.server.watchers import Watchers


class Relay:
    """Every delivery may be repeated: after a crash the next server delivers again what the jobs still keep."""

    def __init__(
        self, jobs: Jobs, broker: Broker, watchers: Watchers, counters: ServerCounters, sinks: Sequence[EventSink]
    ) -> None:
        self._jobs = jobs
        self._broker = broker
        self._watchers = watchers
        self._feeds = [SinkFeed(sink, self._taken, counters) for sink in sinks]
        self._changed: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._published: dict[str, Job] = {}

    def job_changed(self, job: Job) -> None:
        """Deliver the job's new wake-ups and events soon."""
        if job.events or job.wakeups:
            self._changed[job.id] = None
            self._woken.set()

    def job_deleted(self, job: Job) -> None:
        """Stop delivering for the job."""
        self._forget(job.id)

    async def run(self) -> None:
        """Deliver forever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_publishing())
            for feed in self._feeds:
                group.create_task(feed.run())

    async def _keep_publishing(self) -> None:
        """Publish wake-ups at once, without waiting for a write."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            changed, self._changed = self._changed, {}
            for job in filter(None, map(self._jobs.unsettled.find, changed)):
                for wakeup in job.wakeups:
                    await self._broker.publish_wakeup(wakeup)
                self._published[job.id] = job
                for feed in self._feeds:
                    feed.offer(job)

    async def _taken(self, job: Job) -> None:
        """A sink has taken the job's events: remove from the job those that all sinks have, and published wake-ups."""
        through = min(feed.cursor(job.id) for feed in self._feeds)
        published = self._published.get(job.id, job)
        await self._jobs.note_delivered(job, through, published.wakeups)
        self._watchers.changed(job.id)
        if through >= published.event_count:
            self._forget(job.id)

    def _forget(self, job_id: str) -> None:
        self._published.pop(job_id, None)
        for feed in self._feeds:
            feed.forget(job_id)
