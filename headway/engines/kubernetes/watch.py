"""Follows objects of one kind: list, watch, and list again when the watch has lost its place."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

from headway.engines.kubernetes.api import Api, Listed, Object, Refusal, Resource, WatchEvent
from headway.errors import SettingInvalid, Unavailable

_log = logging.getLogger(__name__)
_SILENCE_SECONDS = 90.0
"""The API sends a bookmark about once a minute, so a watch that is silent for longer is dead."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0
_GONE, _EXPIRED = 410, "Expired"


class Follower(Protocol):
    """What is told of the objects, in the order of the API."""

    def listed(self, objects: tuple[Object, ...]) -> None:
        """These objects are there, and no others."""

    def changed(self, event: WatchEvent) -> None:
        """One object came, changed or went."""


class Watch:
    """Tells a follower what objects there are and what becomes of them, as long as `run` runs.

    `trouble`: why the follower may be behind, as a sentence; None while it is not.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        selector: dict[str, str],
        follower: Follower,
        *,
        silence_seconds: float = _SILENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._resource = resource
        self._selector = selector
        self._follower = follower
        self._silence_seconds = silence_seconds
        self._sleep = sleep
        self._pause_seconds = 0.0
        self.trouble: str | None = None

    async def list(self) -> str:
        """Tell the follower what there is; the version to watch behind. Raises as the API."""
        listed: Listed = await self._api.list(self._resource, self._selector)
        self._follower.listed(listed.objects)
        self.trouble = None
        self._pause_seconds = 0.0
        return listed.version

    async def run(self, version: str | None) -> None:
        """Follow from that version on, or from a new list. It never returns: what fails is tried again, more slowly."""
        while True:
            try:
                if version is None:
                    version = await self.list()
                version = await self._watch(version)
            except Refusal as refusal:
                version = None
                if refusal.status != _GONE and refusal.reason != _EXPIRED:
                    await self._wait(f"The API of Kubernetes ended a watch of {self._resource.plural}: {refusal}")
            except (Unavailable, SettingInvalid) as error:
                version = None
                await self._wait(error.message)

    async def _watch(self, version: str) -> str:
        """One watch, to its end. The version behind which the next continues."""
        events = self._api.watch(self._resource, self._selector, version, self._silence_seconds)
        async for event in events:
            self.trouble, self._pause_seconds = None, 0.0
            version = event.version
            if event.type != "BOOKMARK":
                self._follower.changed(event)
        return version

    async def _wait(self, trouble: str) -> None:
        """Before the next try: none the first time, then twice as long each time."""
        if self.trouble is None:
            _log.warning("%s", trouble)
        self.trouble = trouble
        await self._sleep(self._pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause_seconds))
