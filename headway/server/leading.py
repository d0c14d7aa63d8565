"""Chooses the leader among the servers on one database: the leader keeps changing a row by compare-and-set."""

from __future__ import annotations

import asyncio
import logging

from pydantic import ValidationError

from headway.core.installation import Leadership
from headway.database.base import Database
from headway.errors import HeadwayError, SettingInvalid
from headway.server.clock import Clock

_log = logging.getLogger(__name__)
_BEATS_PER_LEASE = 5


class Leading:
    """One server's part. The others watch the row for changes on their own clocks, so that clock skew does not matter.

    A leader that was paused may act for a moment while the next one leads. That is safe: jobs change by
    compare-and-set, and workers refuse more than their slots. The former leader notices at its next beat. Until then no
    answer of it lets a worker delete reports that the next leader may not have: that requires `proven`.
    """

    def __init__(self, database: Database, clock: Clock, server: str, lease_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._server = server
        self._lease_seconds = lease_seconds
        self._known = Leadership()
        self._proven_at = float("-inf")
        self._ahead_seconds: float | None = None
        self._url = ""
        self.leader_url: str | None = None
        self.over = asyncio.Event()
        """Set when this server led and no longer leads."""

    @property
    def proven(self) -> bool:
        """Whether no other server can lead now: this one has renewed its lease in time."""
        return self._clock.monotonic() - self._proven_at < self._lease_seconds

    async def acquire(self, url: str) -> None:
        """Wait until this server, at `url`, leads. Meanwhile `leader_url` is the leader's address.

        Raises SettingInvalid when the row is damaged.
        """
        self._url = url
        seen_at = self._clock.monotonic()
        while True:
            try:
                found = await self._read()
                if self.look(found):
                    seen_at = self._clock.monotonic()
                self.leader_url = found.url if found.server else None
                vacant = not found.server or self._clock.monotonic() - seen_at > self._lease_seconds
                if vacant and await self._take(found):
                    self.leader_url = None
                    _log.info("This server leads now (term %d).", self._known.term)
                    return
            except SettingInvalid:
                raise
            except HeadwayError as error:
                _log.error("The leader cannot be read from the database: %s", error)
                seen_at = self._clock.monotonic()
            await asyncio.sleep(self._lease_seconds / _BEATS_PER_LEASE)

    def look(self, found: Leadership) -> bool:
        """Note the row's state; return whether it changed. A change shows how far ahead the leader's time is."""
        if found == self._known:
            return False
        if found.at and found.server and (found.term, found.server) == (self._known.term, self._known.server):
            self._ahead_seconds = found.at - self._clock.machine_now()
        self._known = found
        return True

    async def _take(self, found: Leadership) -> bool:
        """Take the lead and continue the former leader's time. If it was not seen, never use an earlier time."""
        ahead_seconds = self._ahead_seconds
        if ahead_seconds is None:
            ahead_seconds = max(0.0, found.at - self._clock.machine_now())
        elif abs(ahead_seconds) <= self._lease_seconds:
            ahead_seconds = 0.0  # the difference is only the time of a look
        former, self._clock.ahead_seconds = self._clock.ahead_seconds, ahead_seconds
        if await self._put(Leadership(term=found.term + 1, server=self._server, url=self._url)):
            if ahead_seconds:
                _log.warning("This server continues the former leader's time, %+.0f s from its clock.", ahead_seconds)
            return True
        self._clock.ahead_seconds = former
        return False

    async def keep(self) -> None:
        """Renew the lease until another server leads, or until the row cannot be read."""
        try:
            while True:
                await asyncio.sleep(self._lease_seconds / _BEATS_PER_LEASE)
                try:
                    beat = self._known.model_copy(update={"beat": self._known.beat + 1})
                    # A lost answer looks like another server's change. This server leads as long as the row names it.
                    if not await self._put(beat) and not await self._still_ours():
                        _log.warning("Another server leads now.")
                        return
                except SettingInvalid as error:
                    _log.error("This server no longer leads: %s", error)
                    return
                except HeadwayError as error:
                    _log.error("This server cannot renew its lease: %s", error)
        finally:
            self.over.set()

    async def resign(self) -> None:
        """Let another server take over at once, if this one still leads."""
        try:
            await self._put(self._known.model_copy(update={"server": "", "beat": self._known.beat + 1}))
        except HeadwayError as error:
            _log.error("The lead could not be released; another server takes it when the lease ends: %s", error)

    async def _read(self) -> Leadership:
        try:
            return await self._database.leadership()
        except ValidationError as error:
            raise SettingInvalid(
                "The database does not say which server leads: its row `leadership` of `installation` is "
                "damaged. Stop all servers, delete that row, and start them again."
            ) from error

    async def _put(self, new: Leadership) -> bool:
        asked_at = self._clock.monotonic()
        new = new.model_copy(update={"at": self._clock.now()})
        done = await self._database.put_leadership(new, self._known)
        if done:
            self._known = new
            self._proven_at = asked_at
        return done

    async def _still_ours(self) -> bool:
        found = await self._read()
        ours = (found.term, found.server) == (self._known.term, self._server)
        if ours:
            self._known = found
        return ours
