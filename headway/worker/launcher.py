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
from headway.rank_protocol.launcher_messages import (
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
"""A launcher reads messages at once; one that does not is stopped or stuck."""
_START_SECONDS = 60.0
"""Time from the fork to the first message, even on an overloaded machine."""


class Launcher:
    """Every wait here has a limit: a launcher may be stopped, stuck or gone.

    It does not use asyncio's streams: once writing to a launcher that has ended fails, they drop the messages that it
    sent before.
    """

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._socket = control
        self._unread = b""
        self._sending = asyncio.Lock()
        self._process: psutil.Process | None = None
        self._ended = False

    async def message(self) -> FromLauncher | None:
        """The launcher's next message; None when it has gone, or sends something invalid."""
        while b"\n" not in self._unread:
            content = await self._receive()
            if not content or len(self._unread) > _MAXIMUM_MESSAGE_BYTES:
                return None
            self._unread += content
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            message = decode_message(line)
        except Corrupt as error:
            _log.error("A launcher sent an invalid message and counts as gone: %s", error)
            return None
        return message if isinstance(message, FromLauncher) else None

    async def _receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, _MESSAGE_BYTES)
        except OSError:
            return b""

    async def begin(self, plan: Plan) -> None:
        """Send the launcher its plan. Raises CannotStartRanks when it does not start."""
        content = plan.to_json()
        try:
            async with asyncio.timeout(_START_SECONDS):
                first = await self.message()
                if not isinstance(first, LauncherStarted):
                    raise CannotStartRanks("the launcher ended before it got its plan")
                with suppress(psutil.Error):
                    self._process = psutil.Process(first.pid)
                await self._send(struct.pack("!I", len(content)) + content)
        except (OSError, TimeoutError) as error:
            raise CannotStartRanks(f"the launcher does not start: {error or 'it does not answer'}") from error

    async def stop(self, grace_seconds: float) -> None:
        """Let the launcher end the ranks: SIGTERM, then SIGKILL after the grace time."""
        await self._say(Stop(grace_seconds))

    async def execute(self, inquiry: Inquiry, file: Path) -> None:
        """Let the launcher run a command beside a rank, with its output in a file. `CommandEnded` reports its end."""
        command = [*inquiry.command]
        await self._say(RunCommand(inquiry.id, inquiry.rank, command, inquiry.timeout_seconds, str(file)))

    async def _say(self, message: ToLauncher) -> None:
        # If it has ended, it has sent that. If it does not read, the caller that waits for it ends it in time.
        if self._ended:
            return
        with suppress(OSError, ValueError, TimeoutError):  # ValueError: the socket was closed meanwhile
            async with asyncio.timeout(_SEND_SECONDS):
                await self._send(encode_message(message))

    async def _send(self, content: bytes) -> None:
        async with self._sending:
            await asyncio.get_running_loop().sock_sendall(self._socket, content)

    async def end(self, patience_seconds: float) -> None:
        """Wait until the launcher and its ranks have ended. After `patience_seconds` they are killed."""
        if self._ended:
            return
        self._ended = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)  # the launcher ends everything when it reads the end of the stream
        try:
            async with asyncio.timeout(patience_seconds):
                while await self._receive():
                    pass
        except TimeoutError:
            if self._process is not None:
                _log.warning("Launcher %d does not end by itself. It is killed with its ranks.", self._process.pid)
                if not await asyncio.to_thread(end_tree, self._process):
                    _log.error("Launcher %d cannot be killed; its ranks may still run.", self._process.pid)
        finally:
            self._socket.close()
