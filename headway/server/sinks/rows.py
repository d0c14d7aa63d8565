"""Stores events and ended attempts as rows in the database, which the API reads."""

from __future__ import annotations

from collections.abc import Sequence

from headway.database.base import Database
from headway.server.sinks.base import EventSink, NewEvents


class RowSink(EventSink):
    """The database keeps one row per (job, event number) and (job, attempt), even if it is given several times."""

    name = "rows"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, new: Sequence[NewEvents]) -> None:
        for one in new:
            attempt = one.job.attempt
            if attempt is not None and attempt.ended_at is not None:
                await self._database.put_attempt(one.job.id, attempt)
        await self._database.insert_events([(one.job.id, event) for one in new for event in one.events])
