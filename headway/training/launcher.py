"""Starts the ranks of one attempt on this worker, watches them, and ends them with all processes that they started.

It may run in a job's own environment, so it needs only the standard library, and uses torch if it is installed.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from headway.rank_protocol import rank_variables
from headway.rank_protocol.launcher_messages import (
    AllGone,
    CommandEnded,
    FromLauncher,
    LauncherStarted,
    RankExited,
    RanksStarted,
    RunCommand,
    Stop,
    decode_message,
    encode_message,
)
from headway.rank_protocol.lifeline import adopt_orphans, die_with_parent
from headway.rank_protocol.paths import going_mark
from headway.rank_protocol.plan import Plan
from headway.training.finished_ranks import FinishedRanks
from headway.training.meeting import Meeting
from headway.training.memory_limit import MemoryLimit, machine_memory_kills
from headway.training.process_table import descendants
from headway.training.rank import run_rank
from headway.training.rank_environment import rank_environment

_STORE_TIMEOUT = timedelta(seconds=300)
_SIBLING_GRACE_SECONDS = 5.0
_END_SECONDS = 30.0
"""How long to keep killing processes. One that a driver or a file system holds cannot be ended."""
_END_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
"""Signals that end a worker. Service managers may send them to all its processes at once; the worker decides."""
_DECISION_SECONDS = 1.5
"""How long to wait for the worker's decision after such a signal ended a rank, before the other ranks are ended."""
_SAME_SIGNAL_SECONDS = 5.0
"""A signal that this process got within this time was sent to the ranks as well."""
_RUSAGE_BYTES = 1 if sys.platform == "darwin" else 1024
"""The unit of ru_maxrss, see getrusage(2) of each system."""


@dataclass
class _Rank:
    rank: int
    memory: MemoryLimit | None
    alive: bool = True
    stopped: bool = False
    peak_memory_bytes: int | None = None


@dataclass
class _Guest:
    """A command that a user runs beside a rank."""

    inquiry: str
    kill_at: float
    timed_out: bool = False


def launch(control_descriptor: int, listener_descriptor: int | None = None) -> None:
    """Run one attempt. Returns when all its processes have ended.

    `control_descriptor` is a socket to the worker. When the worker closes it or dies, everything ends at once.
    `listener_descriptor` is the rendezvous store's listening socket, if rank 0 is here.
    """
    os.setsid()
    adopt_orphans()
    control = socket.socket(fileno=control_descriptor)
    _send(control, LauncherStarted(os.getpid()))
    plan = _read_plan(control)
    signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)  # until each rank and the watch have their own handlers
    finished = FinishedRanks(plan.folder, plan.rank_count)
    ranks: dict[int, _Rank] = {}
    going = going_mark(plan.folder)
    going.touch()
    for local_rank in range(plan.rank_count):
        pid = os.fork()
        if pid == 0:
            control.close()
            finished.close()
            if listener_descriptor is not None:
                os.close(listener_descriptor)
            run_rank(plan, local_rank)
        memory = MemoryLimit(pid, plan.memory_bytes) if plan.memory_bytes else None
        ranks[pid] = _Rank(plan.first_rank + local_rank, memory)
    store = _serve_store(plan, listener_descriptor)
    _send(control, RanksStarted(os.getpid(), [*ranks]))
    meeting = Meeting(plan, store)
    try:
        _Watch(control, plan, ranks, finished, going, meeting).run()
    finally:
        _end_descendants()
        for rank in ranks.values():
            if rank.memory is not None:
                rank.memory.remove()
    _send(control, AllGone(meeting.never_met()))


def _read_plan(control: socket.socket) -> Plan:
    (size,) = struct.unpack("!I", _read_exactly(control, 4))
    return Plan.from_json(_read_exactly(control, size))


def _read_exactly(control: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        chunk = control.recv(size - len(content))
        if not chunk:
            os._exit(1)  # the worker ended before anything was started
        content += chunk
    return bytes(content)


def _serve_store(plan: Plan, listener_descriptor: int | None) -> object:
    """torch's key-value store, where ranks meet. Its threads start only after the ranks were forked."""
    if listener_descriptor is None or plan.store is None or find_spec("torch") is None:
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined] # torch exports it without saying so

    host, _, port = plan.store.rpartition(":")
    return TCPStore(
        host,
        int(port),
        is_master=True,
        wait_for_workers=False,
        timeout=_STORE_TIMEOUT,
        master_listen_fd=listener_descriptor,
    )


class _Watch:
    """Reports each rank's end, stops the others when one fails, and follows the worker, until all ranks have ended."""

    def __init__(
        self,
        control: socket.socket,
        plan: Plan,
        ranks: dict[int, _Rank],
        finished: FinishedRanks,
        going: Path,
        meeting: Meeting,
    ) -> None:
        self._control = control
        self._plan = plan
        self._ranks = ranks
        self._finished = finished
        self._going = going
        self._meeting = meeting
        self._guests: dict[int, _Guest] = {}
        self._asked = False
        self._kill_at: float | None = None
        self._fail_at: float | None = None
        self._end_signals: dict[int, float] = {}
        self._unread = b""
        self._machine_kills = machine_memory_kills()

    def run(self) -> None:
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in _END_SIGNALS:
            signal.signal(number, self._note_end_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)
        while True:
            self._take_ended()
            if not any(rank.alive for rank in self._ranks.values()):
                return
            self._look()
            readable, _, _ = select.select([self._control.fileno(), woken], [], [], self._timeout())
            if woken in readable:
                os.read(woken, 512)
            if self._control.fileno() in readable and not self._obey():
                return  # the worker has ended: the caller ends everything

    def _note_end_signal(self, number: int, _frame: object) -> None:
        """Do not end yet: this process ends when the worker says so or has ended. Until then the ranks may save."""
        self._end_signals[number] = time.monotonic()
        with suppress(OSError):
            self._going.unlink(missing_ok=True)

    def _got(self, *numbers: int) -> bool:
        """Whether this process just got one of the signals, so that the ranks got it as well."""
        now = time.monotonic()
        return any(now - self._end_signals.get(number, -1e9) < _SAME_SIGNAL_SECONDS for number in numbers)

    def _take_ended(self) -> None:
        for pid, status, peak_memory_bytes in _reap():
            if pid in self._ranks:
                self._ranks[pid].peak_memory_bytes = peak_memory_bytes
                self._rank_ended(self._ranks[pid], status)
            elif pid in self._guests:
                self._guest_ended(self._guests.pop(pid), status)

    def _look(self) -> None:
        """Act on expired grace times and guests' time limits, and check memory limits."""
        now = time.monotonic()
        if self._fail_at is not None and now >= self._fail_at and self._kill_at is None:
            self._kill_at = self._stop(_SIBLING_GRACE_SECONDS)
        if self._kill_at is not None and now >= self._kill_at:
            self._signal_ranks(signal.SIGKILL)
        for rank in self._ranks.values():
            if rank.alive and rank.memory is not None:
                rank.memory.look()
        self._meeting.look([pid for pid, rank in self._ranks.items() if rank.alive])
        for pid, guest in self._guests.items():
            if now >= guest.kill_at:
                guest.timed_out = True
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def _timeout(self) -> float | None:
        now = time.monotonic()
        due = [max(0.05, guest.kill_at - now) for guest in self._guests.values()]
        due += [max(0.05, at - now) for at in (self._kill_at, self._fail_at) if at is not None]
        if any(rank.alive and rank.memory is not None and rank.memory.watched for rank in self._ranks.values()):
            due.append(self._plan.memory_look_seconds)
        if (next_look := self._meeting.due_seconds) is not None:
            due.append(next_look)
        return min(due, default=None)

    def _obey(self) -> bool:
        """Follow the worker's message. False when the worker has ended."""
        content = self._control.recv(1 << 16)
        if not content:
            return False
        *lines, self._unread = (self._unread + content).split(b"\n")
        for line in lines:
            match decode_message(line):
                case Stop(grace_seconds):
                    self._take_ended()  # a rank that has already ended was not stopped
                    stop_at = self._stop(grace_seconds)
                    self._kill_at = stop_at if self._kill_at is None else min(self._kill_at, stop_at)
                case RunCommand() as asked:
                    self._start_guest(asked)
        return True

    def _rank_ended(self, rank: _Rank, status: int) -> None:
        rank.alive = False
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        exit_code = None if killed_by is not None else os.WEXITSTATUS(status)
        signalled = killed_by in _END_SIGNALS or self._got(*_END_SIGNALS)
        exited = RankExited(
            rank=rank.rank,
            at=time.time(),
            exit_code=exit_code,
            signal=None if killed_by is None else _signal_name(killed_by),
            stopped=rank.stopped,
            signalled=signalled,
            out_of_memory=rank.memory is not None and rank.memory.exceeded(),
            machine_out_of_memory=machine_memory_kills() > self._machine_kills,
            peak_memory_bytes=rank.peak_memory_bytes,
        )
        _send(self._control, exited)
        failed = exit_code != 0 and rank.rank - self._plan.first_rank not in self._finished
        if failed and self._kill_at is None and self._fail_at is None:
            self._fail_at = time.monotonic() + (_DECISION_SECONDS if signalled else 0.0)

    def _start_guest(self, asked: RunCommand) -> None:
        environment = rank_environment(self._plan, asked.rank - self._plan.first_rank)
        pid = next((pid for pid, rank in self._ranks.items() if rank.rank == asked.rank), None)
        environment[rank_variables.RANK_PID] = str(pid)
        try:
            with open(asked.file, "xb") as output:
                guest = subprocess.Popen(
                    asked.command,
                    cwd=self._plan.work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=partial(die_with_parent, os.getpid()),
                )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            _send(self._control, CommandEnded(asked.inquiry, exit_code=None, error=f"{asked.command[0]}: {why}"))
            return
        self._guests[guest.pid] = _Guest(asked.inquiry, time.monotonic() + asked.timeout_seconds)
        guest.returncode = 0  # this loop notices its end by pid

    def _guest_ended(self, guest: _Guest, status: int) -> None:
        error = "It took too long and was ended." if guest.timed_out else None
        _send(self._control, CommandEnded(guest.inquiry, os.waitstatus_to_exitcode(status), error))

    def _stop(self, grace_seconds: float) -> float:
        """Ask the ranks to end, or, without a grace time, kill them. Returns when the grace time is over."""
        self._fail_at = None
        with suppress(OSError):
            self._going.unlink(missing_ok=True)
        for rank in self._ranks.values():
            rank.stopped |= rank.alive
        if grace_seconds <= 0:
            self._signal_ranks(signal.SIGKILL)
        elif not self._asked and not self._got(signal.SIGTERM):
            self._signal_ranks(signal.SIGTERM)
            self._signal_ranks(signal.SIGCONT)  # a stopped rank could not save
        self._asked = True  # the worker repeats its request; a second SIGTERM would end many scripts while they save
        return time.monotonic() + grace_seconds

    def _signal_ranks(self, number: signal.Signals) -> None:
        for pid, rank in self._ranks.items():
            if rank.alive:
                _signal_rank(pid, number)


def _signal_rank(pid: int, number: signal.Signals) -> None:
    """Signal a rank and its process group once. A second SIGTERM would interrupt the handler of the first."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # it has not created its group yet
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _reap() -> list[tuple[int, int, int]]:
    """Ended children, including adopted orphans, with their wait status and peak memory."""
    ended = []
    with suppress(ChildProcessError):
        while True:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((pid, status, usage.ru_maxrss * _RUSAGE_BYTES))
    return ended


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end_descendants() -> None:
    """Kill all remaining processes, also those in sessions of their own: this process adopts orphans (subreaper)."""
    deadline = time.monotonic() + _END_SECONDS
    while (left := descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.005)


def _send(control: socket.socket, message: FromLauncher) -> None:
    # Reading notices that the worker has ended; a message that cannot be sent does not matter.
    with suppress(OSError):
        control.sendall(encode_message(message))
