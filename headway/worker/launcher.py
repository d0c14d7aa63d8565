"""The worker's side of a launcher, the process that starts and watches the ranks of one attempt."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from contextlib import suppress
from pathlib import Path

import psutil

from headway.core.protocol import Inquiry
from headway.errors import CannotStartRanks, Corrupt
from headway.rank_protocol.messages import (
    FromLauncher,
    LauncherStarted,
    RunCommand,
    Stop,
    ToLauncher,
    decode_message,
    encode_message,
)
from headway.rank_protocol.plan import Plan
from headway.worker.process_tree import end_tree

_log = logging.getLogger(__name__)
_MESSAGE_BYTES = 1 << 16
_MAXIMUM_MESSAGE_BYTES = 1 << 20
_SEND_SECONDS = 5.0
"""A launcher reads at once what it is told; one that does not is stopped or stuck."""
_START_SECONDS = 60.0
"""From the fork to its first word, on a machine that is overloaded."""


class Launcher:
    """Nothing here waits for ever: a launcher may be stopped, stuck or gone.

    asyncio's streams would not do: once writing to a launcher that has ended fails, they give out no more of what it
    said before.
    """

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._socket = control
        self._unread = b""
        self._sending = asyncio.Lock()
        self._process: psutil.Process | None = None
        self._ended = False

    async def message(self) -> FromLauncher | None:
        """What the launcher says next; None when it is gone, or says what is no message."""
        while b"\n" not in self._unread:
            content = await self._receive()
            if not content or len(self._unread) > _MAXIMUM_MESSAGE_BYTES:
                return None
            self._unread += content
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            message = decode_message(line)
        except Corrupt as error:
            _log.error("A launcher counts as gone, for it does not speak as it should: %s", error)
            return None
        return message if isinstance(message, FromLauncher) else None

    async def _receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, _MESSAGE_BYTES)
        except OSError:
            return b""

    async def begin(self, plan: Plan) -> None:
        """Give it its plan. Raises CannotStartRanks when it does not come to life."""
        content = plan.to_json()
        try:
            async with asyncio.timeout(_START_SECONDS):
                first = await self.message()
                if not isinstance(first, LauncherStarted):
                    raise CannotStartRanks("the launcher ended before it was given its plan")
                with suppress(psutil.Error):
                    self._process = psutil.Process(first.pid)
                await self._send(struct.pack("!I", len(content)) + content)
        except (OSError, TimeoutError) as error:
            raise CannotStartRanks(f"the launcher does not start: {error or 'it does not answer'}") from error

    async def stop(self, grace_seconds: float) -> None:
        """Have the ranks ended: SIGTERM, and SIGKILL after the grace time."""
        await self._say(Stop(grace_seconds))

    async def execute(self, inquiry: Inquiry, file: Path) -> None:
        """Have a command run beside a rank, its output written to a file; `CommandEnded` tells its end."""
        command = [*inquiry.command]
        await self._say(RunCommand(inquiry.id, inquiry.rank, command, inquiry.timeout_seconds, str(file)))

    async def _say(self, message: ToLauncher) -> None:
        # One that has ended has said so; one that does not read is ended in time by whoever waits for it.
        if self._ended:
            return
        with suppress(OSError, ValueError, TimeoutError):  # ValueError: it was ended meanwhile
            async with asyncio.timeout(_SEND_SECONDS):
                await self._send(encode_message(message))

    async def _send(self, content: bytes) -> None:
        async with self._sending:
            await asyncio.get_running_loop().sock_sendall(self._socket, content)

    async def end(self, patience_seconds: float) -> None:
        """Return once it and its ranks are gone: by themselves, or, if that takes longer than the patience, killed."""
        if self._ended:
            return
        self._ended = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)  # it ends everything when it reads the end
        try:
            async with asyncio.timeout(patience_seconds):
                while await self._receive():
                    pass
        except TimeoutError:
            if self._process is not None:
                _log.warning("Launcher %d does not end by itself; it is killed with its ranks.", self._process.pid)
                if not await asyncio.to_thread(end_tree, self._process):
                    _log.error("Launcher %d cannot be killed; its ranks may still run.", self._process.pid)
        finally:
            self._socket.close()
