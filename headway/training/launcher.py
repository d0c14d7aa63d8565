"""Starts the ranks of one attempt on this worker, watches them, and ends them with everything they started."""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil

from headway.lifeline import adopt_orphans
from headway.training.rank import run_rank

_STORE_TIMEOUT = timedelta(seconds=300)
_SIBLING_GRACE_SECONDS = 5.0


@dataclass
class _Rank:
    rank: int
    alive: bool = True
    stopped: bool = False


def launch(control_descriptor: int, listener_descriptor: int | None = None) -> None:
    """Run one attempt; returns when no process of it is left.

    `control_descriptor` is a socket to the worker; when the worker closes it or dies, everything ends at once.
    `listener_descriptor` is the rendezvous store's listening socket, where rank 0 is here.
    """
    os.setsid()
    adopt_orphans()
    control = socket.socket(fileno=control_descriptor)
    plan = _read_plan(control)
    finished = mmap.mmap(-1, plan["rank_count"])
    ranks: dict[int, _Rank] = {}
    for local_rank in range(plan["rank_count"]):
        pid = os.fork()
        if pid == 0:
            control.close()
            if listener_descriptor is not None:
                os.close(listener_descriptor)
            run_rank(plan, local_rank, finished)
        ranks[pid] = _Rank(plan["first_rank"] + local_rank)
    store = _serve_store(plan, listener_descriptor)
    started = [[rank.rank, pid] for pid, rank in ranks.items()]
    _send(control, {"launcher": os.getpid(), "started": started})
    try:
        _watch(control, ranks, finished, plan["first_rank"])
    finally:
        _end_descendants()
    _send(control, {"gone": True})
    del store


def _read_plan(control: socket.socket) -> dict[str, Any]:
    (size,) = struct.unpack("!I", _read_exactly(control, 4))
    plan: dict[str, Any] = json.loads(_read_exactly(control, size))
    return plan


def _read_exactly(control: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        chunk = control.recv(size - len(content))
        if not chunk:
            os._exit(1)  # the worker is gone before anything was started
        content += chunk
    return bytes(content)


def _serve_store(plan: dict[str, Any], listener_descriptor: int | None) -> object:
    """torch's key-value store that ranks meet at. Its threads start only after the ranks were forked."""
    if listener_descriptor is None:
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined] # torch exports it without saying so

    host, _, port = plan["endpoint"].rpartition(":")
    return TCPStore(
        host,
        int(port),
        is_master=True,
        wait_for_workers=False,
        timeout=_STORE_TIMEOUT,
        master_listen_fd=listener_descriptor,
    )


def _watch(control: socket.socket, ranks: dict[int, _Rank], finished: mmap.mmap, first_rank: int) -> None:
    """Report each end, stop the others when one fails, and obey the worker, until no rank is left."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    kill_at: float | None = None
    while True:
        for pid, status in _reap():
            if pid in ranks:
                failed = _report_end(control, ranks[pid], status, finished, first_rank)
                if failed and kill_at is None:
                    kill_at = _stop(ranks, _SIBLING_GRACE_SECONDS)
        if not any(rank.alive for rank in ranks.values()):
            return
        now = time.monotonic()
        if kill_at is not None and now >= kill_at:
            _signal_ranks(ranks, signal.SIGKILL)
        timeout = None if kill_at is None else max(0.05, kill_at - now)
        readable, _, _ = select.select([control.fileno(), woken], [], [], timeout)
        if woken in readable:
            os.read(woken, 512)
        if control.fileno() in readable:
            content = control.recv(4096)
            if not content:
                return  # the worker is gone: the caller ends everything
            grace_seconds = min(json.loads(line)["stop"] for line in content.splitlines())
            stop_at = _stop(ranks, grace_seconds)
            kill_at = stop_at if kill_at is None else min(kill_at, stop_at)


def _reap() -> list[tuple[int, int]]:
    """Children that ended, adopted orphans among them, with their wait status."""
    ended = []
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((pid, status))
    return ended


def _report_end(control: socket.socket, rank: _Rank, status: int, finished: mmap.mmap, first_rank: int) -> bool:
    """Tell the worker; true if the rank failed, so that the others cannot go on."""
    rank.alive = False
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    exit_code = None if killed_by is not None else os.WEXITSTATUS(status)
    message = {
        "ended": rank.rank,
        "at": time.time(),
        "exit_code": exit_code,
        "signal": None if killed_by is None else _signal_name(killed_by),
        "stopped": rank.stopped,
    }
    _send(control, message)
    return exit_code != 0 and not finished[rank.rank - first_rank]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stop(ranks: dict[int, _Rank], grace_seconds: float) -> float:
    for rank in ranks.values():
        rank.stopped |= rank.alive
    _signal_ranks(ranks, signal.SIGTERM if grace_seconds > 0 else signal.SIGKILL)
    return time.monotonic() + grace_seconds


def _signal_ranks(ranks: dict[int, _Rank], number: signal.Signals) -> None:
    for pid, rank in ranks.items():
        if rank.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _end_descendants() -> None:
    """Kill what is left, also what ranks started in sessions of their own: orphans are ours (subreaper)."""
    own = psutil.Process()
    while descendants := own.children(recursive=True):
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(descendants, timeout=1.0)
        _reap()


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    # A worker that is gone is noticed by reading; what cannot be said to it does not matter.
    with suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")
