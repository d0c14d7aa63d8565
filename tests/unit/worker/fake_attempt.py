"""A worker's session without a server, and an attempt without processes: tests act as the launcher."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway.core.facts import Fact
from headway.core.job import JobSpec
from headway.core.protocol import AssignmentKey, Claimed, Timeouts
from headway.formats.reports import Report, decode_report
from headway.rank_protocol.launcher_messages import (
    AllGone,
    FromLauncher,
    RankExited,
    RanksStarted,
    decode_message,
    encode_message,
)
from headway.worker.counters import WorkerCounters
from headway.worker.devices import Devices
from headway.worker.launcher import Launcher
from headway.worker.outbox import Outbox
from headway.worker.preparation import Prepared
from headway.worker.read_watch import LeftFilesWatch
from headway.worker.session import Session
from headway.worker.slots import Slots
from headway.worker.spool import stream_folder

KEY = AssignmentKey(job="j-1", attempt=1, worker="w-1")
ENDPOINT = "127.0.0.1:1"


def claimed(*, endpoint: str | None = ENDPOINT, rank_count: int = 1) -> Claimed:
    return Claimed(
        job=KEY.job, job_name="j", project="p", attempt=KEY.attempt, spec=JobSpec(command=("true",)), dataset=None,
        first_rank=0, rank_count=rank_count, world_size=1, group_rank=0, group_count=1, endpoint=endpoint,
        rank_token="t",
    )  # fmt: skip


def do_nothing(_where: str) -> None:
    return None


class Server:
    """A server that grants claims, if requested the first ones without an endpoint, and records refusals.

    `calls`: all calls. `on` is called with each.
    """

    def __init__(self, *, unmet_claims: int = 0, rank_count: int = 1) -> None:
        self.refused: list[tuple[str, int]] = []
        self.server_url = "http://127.0.0.1:1"
        self.on: Callable[[str], None] = do_nothing
        self._unmet_claims = unmet_claims
        self._rank_count = rank_count

    async def claim(self, *_: object) -> Claimed:
        self.on("claim")
        self._unmet_claims -= 1
        return claimed(endpoint=None if self._unmet_claims >= 0 else ENDPOINT, rank_count=self._rank_count)

    async def refuse(self, job: str, attempt: int) -> None:
        self.refused.append((job, attempt))


class Ranks:
    """A forkserver whose launcher and ranks are the test: it sends their messages and receives the worker's."""

    def __init__(self) -> None:
        self.python = Path(sys.executable)
        self.on: Callable[[str], None] = do_nothing
        self._launched = asyncio.Event()
        self._end: socket.socket | None = None

    async def launch(self, *_: object) -> Launcher:
        self.on("launch")
        ours, self._end = socket.socketpair()
        self._end.setblocking(False)
        self._launched.set()
        return Launcher(ours)

    async def started(self) -> None:
        """Report that rank 0 has started, with the pid of this process."""
        await self._launched.wait()
        await self._say(RanksStarted(launcher=os.getpid(), pids=[os.getpid()]))

    async def ended(self, *, stopped: bool = False) -> None:
        """Report that rank 0 has ended, with status 0 unless it was `stopped`, and that the launcher has ended."""
        exit_code, signal = (None, "SIGTERM") if stopped else (0, None)
        exited = RankExited(
            rank=0, at=1.0, exit_code=exit_code, signal=signal, stopped=stopped, signalled=stopped,
            out_of_memory=False, machine_out_of_memory=False, peak_memory_bytes=1,
        )  # fmt: skip
        await self._say(exited)
        await self._say(AllGone(never_met=False))
        assert self._end is not None
        self._end.close()

    async def told(self) -> object:
        """The worker's next message to the launcher."""
        await self._launched.wait()
        assert self._end is not None
        line = b""
        while not line.endswith(b"\n"):
            line += await asyncio.get_running_loop().sock_recv(self._end, 1)
        return decode_message(line)

    async def _say(self, message: FromLauncher) -> None:
        assert self._end is not None
        await asyncio.get_running_loop().sock_sendall(self._end, encode_message(message))


class Preparation:
    """A preparation that is ready at once, unless `on` raises. It waits for `ready`."""

    work_folders = None

    def __init__(self, home: Path, ranks: Ranks) -> None:
        self.on: Callable[[str], None] = do_nothing
        self.ready = asyncio.Event()
        self.ready.set()
        self._home = home
        self._ranks = ranks

    async def prepare(self, *_: object) -> Prepared:
        self.on("prepare")
        await self.ready.wait()
        forkserver: Any = self._ranks
        checkpoint_files = self._home / "checkpoint-files"
        checkpoint_files.mkdir()
        return Prepared(
            work=self._home, output=self._home / "output", checkpoint_files=checkpoint_files, data=None,
            forkserver=forkserver, overlay=None, fresh=True, restored=None,
            left=LeftFilesWatch({}),
        )  # fmt: skip

    async def release(self, *_: object) -> None:
        self.on("release")


def a_session(home: Path, server: Server, preparation: Preparation) -> Session:
    faked: Any = {"connection": server, "preparation": preparation}
    return Session(
        worker=KEY.worker, report_key="", timeouts=Timeouts(), outbox=Outbox(lambda: None, WorkerCounters()), home=home,
        host="127.0.0.1", interface=None, slots=Slots(2), threads_per_slot=1, devices=Devices(), **faked,
    )  # fmt: skip


def reports(folder: Path) -> list[Report]:
    return [decode_report(path.read_bytes()) for path in sorted(folder.glob("*.report"))]


def reported(home: Path) -> list[Fact]:
    """All reported facts of the attempt."""
    return [fact for report in reports(stream_folder(home, KEY)) for fact in report.facts]
