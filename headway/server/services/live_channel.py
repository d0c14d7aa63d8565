"""One live channel: all that a client watches over one connection, each subscription with a cursor of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress

from pydantic_core import to_json

from headway.database.base import reading
from headway.errors import Conflict, NotFound, Overloaded
from headway.server.access import Action, Caller, require_in_project
from headway.server.ids import draw_id
from headway.server.services.live_job import Batch, Frame
from headway.server.watchers import Watchers

_log = logging.getLogger(__name__)
MAXIMUM_SUBSCRIPTIONS = 100
_KEEP_ALIVE_SECONDS = 15.0
_PATIENCE_SECONDS = 10.0
"""How long a request waits for the channel's reader to take its answer."""
Frames = AsyncIterator[Batch | None] | AsyncIterator[list[Frame] | None]


class LiveChannel:
    """It holds one batch for its reader; subscriptions wait with theirs until that was taken. So a reader that stalls
    costs a bounded amount of memory, and delays no other reader.
    """

    def __init__(self, caller: Caller, project: str, watchers: Watchers) -> None:
        self.id = draw_id("l-")
        self.caller = caller
        self.project = project
        self._watchers = watchers
        self._batches: asyncio.Queue[list[bytes]] = asyncio.Queue(maxsize=1)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def check_new(self, name: str) -> None:
        """Raises Conflict if a subscription has this name, or there are too many."""
        if name in self._tasks:
            raise Conflict(f"The channel has a subscription {name[:80]!r}. End it first, or choose another id.")
        if len(self._tasks) >= MAXIMUM_SUBSCRIPTIONS:
            raise Conflict(f"The channel has {MAXIMUM_SUBSCRIPTIONS} subscriptions, the most that are allowed.")

    def subscribe(self, name: str, frames: Frames) -> None:
        """Send these frames, with the name of the subscription in each."""
        self._tasks[name] = asyncio.create_task(self._pass_on(name, frames), name=f"live {self.id} {name}")

    async def unsubscribe(self, name: str) -> None:
        """End a subscription. Raises NotFound."""
        task = self._tasks.pop(name, None)
        if task is None:
            raise NotFound(f"The channel has no subscription {name[:80]!r}.")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.say({"kind": "unsubscribed", "subscription": name})

    async def say(self, frame: dict[str, object]) -> None:
        """Send a frame of the channel itself. Raises Overloaded if the reader takes nothing."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._batches.put([to_json(frame)])
        except TimeoutError:
            raise Overloaded(f"Channel {self.id} is not read. Read it, or open another one.") from None

    async def frames(self) -> AsyncGenerator[list[bytes] | None]:
        """Everything that is sent, beginning with `welcome`, until the server stops. None: nothing new for long."""
        ending = asyncio.create_task(self._end_with_server())
        with self._watchers.counted():
            try:
                yield [to_json({"kind": "welcome", "channel": self.id})]
                while not self._watchers.closed:
                    batch: list[bytes] | None = None
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                            batch = await self._batches.get()
                    if batch is None or batch:
                        yield batch
            finally:
                tasks = [ending, *self._tasks.values()]
                self._tasks.clear()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, name: str, frames: Frames) -> None:
        reading.set(True)  # it may have been started by a request that writes
        shown = to_json(name)
        await self._batches.put([b'{"kind":"subscribed","subscription":%b}' % shown])
        try:
            async with aclosing(frames):  # type: ignore[type-var]
                async for batch in frames:
                    if batch is not None:
                        await self._batches.put(_named(shown, batch.frames if isinstance(batch, Batch) else batch))
        except Exception:
            _log.exception("A defect in subscription %s of live channel %s ended it.", name, self.id)
        if self._tasks.get(name) is asyncio.current_task():
            del self._tasks[name]
        await self._batches.put([b'{"kind":"closed","subscription":%b}' % shown])

    async def _end_with_server(self) -> None:
        with self._watchers.following("") as closed:
            await closed.wait()
        await self._batches.put([])


def _named(subscription: bytes, frames: Sequence[Frame]) -> list[bytes]:
    """The frames as JSON. Their content was encoded once for all who get it."""
    return [
        b'{"subscription":%b,"cursor":%b,%b' % (subscription, to_json(frame.cursor), frame.body[1:]) for frame in frames
    ]


class LiveChannels:
    """The open channels, so that requests beside a stream of server-sent events can change what it carries."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._open: dict[str, LiveChannel] = {}

    def new(self, caller: Caller, project: str) -> LiveChannel:
        """A channel for who may read the project's jobs. Raises NotFound, NotAllowed, Overloaded."""
        require_in_project(caller, Action.JOBS_READ, project)
        self._watchers.check_room()
        return LiveChannel(caller, project, self._watchers)

    async def frames(self, channel: LiveChannel) -> AsyncGenerator[list[bytes] | None]:
        """The channel's frames. It is open while they are read."""
        self._open[channel.id] = channel
        try:
            async with aclosing(channel.frames()) as frames:
                async for batch in frames:
                    yield batch
        finally:
            del self._open[channel.id]

    def of(self, caller: Caller, channel_id: str) -> LiveChannel:
        """The caller's own open channel. Raises NotFound, NotAllowed."""
        channel = self._open.get(channel_id)
        if channel is None or channel.caller != caller:
            raise NotFound(f"You have no open channel {channel_id[:80]}. Open one with GET /api/v1/live.")
        require_in_project(caller, Action.JOBS_READ, channel.project)
        return channel


def as_server_sent(frames: Iterable[bytes]) -> bytes:
    """Frames as server-sent events without an id: each subscription has its own cursor."""
    return b"".join(b"data: %b\n\n" % frame for frame in frames)
