"""Follows objects of one kind: list, watch, and list again when the watch cannot continue."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from headway.engines.kubernetes.api import Api, Object, Refusal, Resource
from headway.errors import SettingInvalid, Unavailable

_log = logging.getLogger(__name__)
SILENCE_SECONDS = 90.0
"""The API sends a bookmark about once a minute, so a watch that is silent for longer is dead."""
EVENTS_LAST_SECONDS = 300
"""It sends none for events, which it does not keep in memory. It ends their watches after this time instead."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0
_GONE, _EXPIRED = 410, "Expired"


class Follower(Protocol):
    """Receives the changes of the objects, in the order of the API. It does not wait."""

    def listing(self) -> None:
        """A list will be requested. Objects that are created from now on may be missing in it."""

    def listed(self, objects: Sequence[Object]) -> None:
        """Exactly these objects exist."""

    def changed(self, seen: Object) -> None:
        """An object was created or changed."""

    def deleted(self, last: Object) -> None:
        """An object was deleted; this was its last state."""

    def troubled(self, sentence: str | None) -> None:
        """Why the watch fails; None: it works again."""


class Watch:
    """Tells a follower about existing objects and their changes, as long as `run` runs."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        selector: dict[str, str],
        follower: Follower,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        lasting_seconds: int | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`lasting_seconds`: the API is asked to end each watch after this time, because it sends no bookmarks."""
        self._api = api
        self._resource = resource
        self._selector = selector
        self._follower = follower
        self._silence_seconds = silence_seconds
        self._lasting_seconds = lasting_seconds
        self._sleep = sleep
        self._pause_seconds = 0.0
        self._trouble: str | None = None
        self._version: str | None = None

    async def list(self) -> None:
        """List the objects for the follower. Raises as the API does."""
        self._follower.listing()
        listed = await self._api.list(self._resource, self._selector)
        self._follower.listed(listed.objects)
        self._version = listed.version
        self._heard()

    async def run(self) -> None:
        """Follow without end, from the last list. After a failure it tries again, with growing pauses."""
        while True:
            try:
                if self._version is None:
                    await self.list()
                await self._watch()
                await self._sleep(_FIRST_PAUSE_SECONDS)  # for an API that ends each watch at once
            except Refusal as refusal:
                self._version = None
                if refusal.status != _GONE and refusal.reason != _EXPIRED:
                    await self._wait(f"Kubernetes ended a watch of {self._resource.plural}: {refusal}")
            except (Unavailable, SettingInvalid) as error:
                self._version = None
                await self._wait(error.message)
            except Exception as error:
                _log.exception(
                    "A defect while following %s of Kubernetes; they are listed again.", self._resource.plural
                )
                self._version = None
                await self._wait(f"Headway could not follow {self._resource.plural} of Kubernetes: {error}")

    async def _watch(self) -> None:
        """One watch, to its end."""
        assert self._version is not None
        asked = dict(self._selector)
        if self._lasting_seconds is not None:
            asked["timeoutSeconds"] = str(self._lasting_seconds)
        async for event in self._api.watch(self._resource, asked, self._version, self._silence_seconds):
            if event.type == "DELETED":
                self._follower.deleted(event.object)
            elif event.type != "BOOKMARK":
                self._follower.changed(event.object)
            self._version = event.version

    def _heard(self) -> None:
        self._pause_seconds = 0.0
        if self._trouble is not None:
            _log.info("Kubernetes answers again about %s.", self._resource.plural)
            self._trouble = None
            self._follower.troubled(None)

    async def _wait(self, trouble: str) -> None:
        """The pause before the next try: none the first time, then doubled each time."""
        if self._trouble is None:
            _log.warning("%s", trouble)
            self._follower.troubled(trouble)
        self._trouble = trouble
        await self._sleep(self._pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause_seconds))
