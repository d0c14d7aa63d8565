"""Delivers what changes left in the jobs: wake-ups to the broker, events to the sinks."""

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
    """Everything it does may be repeated: after a crash the next server delivers again what is still in the jobs."""

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
        """Deliver soon what the change left in the job."""
        if job.events or job.wakeups:
            self._changed[job.id] = None
            self._woken.set()

    def job_deleted(self, job: Job) -> None:
        """Nothing of the job is delivered any more."""
        self._forget(job.id)

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_publishing())
            for feed in self._feeds:
                group.create_task(feed.run())

    async def _keep_publishing(self) -> None:
        """Publish wake-ups at once: they wait for no write."""
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
        """A sink has the job's events: the job forgets those that all sinks have, and wake-ups that are published."""
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
