"""Delivers what changes left in the jobs: wake-ups to the broker, ended attempts and events to their own rows."""

from __future__ import annotations

import asyncio
import logging

from headway.brokers.base import Broker
from headway.core.job import Job
from headway.database.base import Database
from headway.errors import HeadwayError
from headway.server.services.jobs import Jobs
from headway.server.watchers import Watchers

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_GATHER_SECONDS = 0.01


class Relay:
    """Everything it does may be repeated: after a crash the next server delivers again what is still in the jobs."""

    def __init__(self, jobs: Jobs, database: Database, broker: Broker, watchers: Watchers) -> None:
        self._jobs = jobs
        self._database = database
        self._broker = broker
        self._watchers = watchers
        self._changed: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._published: dict[str, Job] = {}
        self._storable = asyncio.Event()

    def job_changed(self, job: Job) -> None:
        """Deliver soon what the change left in the job."""
        if job.events or job.wakeups:
            self._changed[job.id] = None
            self._woken.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_publishing())
            group.create_task(self._keep_storing())

    async def _keep_publishing(self) -> None:
        """Publish wake-ups at once: nobody waits for a write."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            changed, self._changed = self._changed, {}
            for job in filter(None, map(self._jobs.unsettled.find, changed)):
                for wakeup in job.wakeups:
                    await self._broker.publish_wakeup(wakeup)
                self._published[job.id] = job
                self._storable.set()

    async def _keep_storing(self) -> None:
        """Store the rest a moment later, so that much is stored in one write."""
        while True:
            await self._storable.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._storable.clear()
            jobs, self._published = self._published, {}
            try:
                await self._store(list(jobs.values()))
            except HeadwayError as error:
                _log.error("Events wait to be stored: %s", error)
                self._changed.update(dict.fromkeys(jobs))
                self._woken.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _store(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.attempt is not None and job.attempt.ended_at is not None:
                await self._database.put_attempt(job.id, job.attempt)
        events = [(job.id, event) for job in jobs for event in job.events]
        if events:
            await self._database.insert_events(events)
        for job in jobs:
            await self._jobs.note_delivered(job)
            self._watchers.changed(job.id)
