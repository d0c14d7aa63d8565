"""The worker's side of the forkserver: keeps it running, and lets it fork a launcher per attempt."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from pathlib import Path

from headway.errors import CannotStartRanks, HeadwayError
from headway.rank_protocol.plan import Plan
from headway.worker.forkserver_version import refusal
from headway.worker.launcher import Launcher

_log = logging.getLogger(__name__)
_RESTART_SECONDS = 2.0
_READY_BYTES = 1 << 14
"""Larger than any message of a forkserver."""
_LAST_LINES_SECONDS = 1.0
"""How long to wait for the last lines of a forkserver: its launchers keep its stderr open as long as they live."""
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""Let glibc (mallopt(3)) keep up to a gigabyte of freed memory. By default it returns large tensors to the kernel each
time; the page faults to get the memory back cost a fifth of a CNN step on a CPU."""


class Forkserver:
    """A process that has imported torch. Forking it takes milliseconds; starting Python takes seconds."""

    def __init__(self, threads: int, python: Path, packages: Path | None = None) -> None:
        """`python`: the interpreter. `packages`: the folder where it finds Headway, if it has none installed."""
        self.python = python
        self._threads = threads
        self._packages = packages
        self._socket: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._warm = asyncio.Event()
        self._tail = b""
        self._passing: set[asyncio.Task[None]] = set()
        self._failed_starts = 0
        self._failure: HeadwayError = CannotStartRanks("the forkserver does not start")

    async def run(self) -> None:
        """Keep a forkserver running forever."""
        while True:
            ours, theirs = socket.socketpair()
            try:
                process = await self._start(theirs)
            except OSError as error:
                process = None
                words = f"the forkserver does not start: {self.python} cannot be run: {error.strerror or error}"
                self._start_failed(CannotStartRanks(words))
            finally:
                theirs.close()
            if process is not None:
                await self._keep(process, ours)
            ours.close()
            await asyncio.sleep(_RESTART_SECONDS)

    async def _start(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self.python,
            "-P",  # files in the worker's current directory must not be imported as modules
            "-m",
            "headway.training.forkserver",
            str(theirs.fileno()),
            str(os.getpid()),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=self._variables(),
        )

    async def _keep(self, process: asyncio.subprocess.Process, ours: socket.socket) -> None:
        ours.setblocking(False)
        self._socket, self._process = ours, process
        try:
            await self._watch(process, ours)
        finally:
            self._warm.clear()
            self._socket = self._process = None
            ours.close()  # also when this is cancelled
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _variables(self) -> dict[str, str]:
        """The variables that the ranks inherit. The programs of their interpreter come first in PATH."""
        folder = self.python.parent
        variables = {**_ALLOCATOR, **os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        variables |= {"OMP_NUM_THREADS": str(self._threads), "PYTHONUNBUFFERED": "1"}
        if self._packages is not None:
            variables["PYTHONPATH"] = str(self._packages)
        if (folder.parent / "pyvenv.cfg").exists():
            variables["VIRTUAL_ENV"] = str(folder.parent)
        return variables

    async def _watch(self, process: asyncio.subprocess.Process, ours: socket.socket) -> None:
        errors = asyncio.create_task(self._pass_on(process))
        self._passing.add(errors)
        errors.add_done_callback(self._passing.discard)
        said = await asyncio.get_running_loop().sock_recv(ours, _READY_BYTES)
        started = bool(said)
        if started and (error := refusal(said, str(self.python))):
            self._start_failed(error)
            return
        if started:
            self._warm.set()
        status = await process.wait()
        self._warm.clear()
        await asyncio.wait({errors}, timeout=_LAST_LINES_SECONDS)
        last_lines = self._tail.decode(errors="replace")
        cause = f"it was ended by signal {-status}" if status < 0 else f"exit status {status}"
        cause = last_lines.strip().rpartition("\n")[2] or cause
        if started:
            _log.error("The forkserver ended (%s); it is restarted.", cause)
        else:
            self._start_failed(CannotStartRanks(f"the forkserver does not start: {cause}"))

    def _start_failed(self, error: HeadwayError) -> None:
        self._failed_starts += 1
        self._failure = error
        _log.error("No ranks can be started; this is tried again: %s", error)

    async def wait_until_warm(self) -> None:
        """Wait until launches are fast. Raises CannotStartRanks or EnvironmentFailed when a start fails."""
        failed_starts = self._failed_starts
        waiting = asyncio.create_task(self._warm.wait())
        try:
            while not waiting.done():
                if self._failed_starts > failed_starts:
                    raise type(self._failure)(self._failure.message)
                await asyncio.wait({waiting}, timeout=0.2)
        finally:
            waiting.cancel()

    async def launch(self, plan: Plan, listener: socket.socket | None) -> Launcher:
        """Fork a launcher and give it its plan. `listener` is the rendezvous store's socket, on rank 0's worker.

        Raises CannotStartRanks.
        """
        await self.wait_until_warm()
        if self._socket is None:
            raise CannotStartRanks("the forkserver has just ended")
        ours, theirs = socket.socketpair()
        try:
            descriptors = [theirs.fileno()] + ([listener.fileno()] if listener is not None else [])
            socket.send_fds(self._socket, [b"L"], descriptors)
        except OSError as error:
            ours.close()
            raise CannotStartRanks(f"the forkserver does not answer: {error}") from error
        finally:
            theirs.close()
        launcher = Launcher(ours)
        try:
            await launcher.begin(plan)
        except BaseException as error:
            await launcher.end(0.0)
            if isinstance(error, CannotStartRanks) and self._process is not None:
                _log.error("The forkserver does not launch (%s); it is restarted.", error)
                self._process.kill()
            raise
        return launcher

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        """Copy the stderr of the forkserver and its launchers into the worker's own log."""
        self._tail = b""
        while process.stderr is not None and (content := await process.stderr.read(1 << 16)):
            sys.stderr.buffer.write(content)
            sys.stderr.flush()
            self._tail = (self._tail + content)[-4096:]
