"""Detects whether the ranks of an attempt ever connected. Ranks that never do train one model each. Standard library
only.

Anything that may be a meeting counts as one, since a wrong warning is worse than a missing one. A rank meets others in
the launcher's store, in a process group of torch, by a connection that its Python opens, or by one that is open when
the launcher looks. For the ranks of a command, a connection that was closed meanwhile counts as well: the kernel
remembers it for a minute, but not its process.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from headway.rank_protocol.paths import meeting_mark
from headway.training.process_table import descendants

if TYPE_CHECKING:
    from headway.rank_protocol.plan import Plan

_FIRST_LOOK_SECONDS, _LONGEST_SECONDS = 0.25, 10.0
_LOOKS_OVER_TIME = 0.1
"""The pause between checks, as a share of the time that the ranks have run."""
_DOWNLOAD_PORTS = frozenset({80, 443})
_ESTABLISHED, _CLOSED = "01", "06"
_MAPPED = "0000000000000000FFFF0000"
"""The prefix of IPv4 addresses in IPv6 form, in /proc/net/tcp6."""


class _Connection(NamedTuple):
    """A TCP connection. Its ends are addresses, as the kernel writes them, with ports."""

    own: tuple[str, int]
    other: tuple[str, int]
    inode: int


class Meeting:
    """The launcher's checks. They become less frequent, and stop at the first sign of a meeting."""

    def __init__(self, plan: Plan, store: Any) -> None:
        self._store = store
        self._mark = meeting_mark(plan.folder)
        self._ignored_ports = _ignored_ports(plan.server_url)
        self._known = plan.world_size == 1 or sys.platform != "linux"
        self._tells_itself = not plan.command
        self._closed_before = self._closed()
        self._began_at = time.monotonic()
        self._look_at = self._began_at + _FIRST_LOOK_SECONDS

    @property
    def due_seconds(self) -> float | None:
        """Seconds until the next check; None if there is none."""
        return None if self._known else max(0.05, self._look_at - time.monotonic())

    def look(self, pids: list[int]) -> None:
        """Check the processes of the ranks, if a check is due."""
        if self._known or time.monotonic() < self._look_at:
            return
        self._known = self._used_store() or connected(pids, self._ignored_ports) or self._has_closed()
        now = time.monotonic()
        ran_seconds = now - self._began_at
        self._look_at = now + min(_LONGEST_SECONDS, max(_FIRST_LOOK_SECONDS, ran_seconds * _LOOKS_OVER_TIME))

    def never_met(self) -> bool:
        """Whether the ranks, which have all ended, never connected; false if that is not certain."""
        return not (self._known or self._used_store() or self._mark.exists() or self._has_closed())

    def _has_closed(self) -> bool:
        """Whether any process here has closed a connection meanwhile. It may have been a rank of a command."""
        return not self._closed() <= self._closed_before

    def _closed(self) -> frozenset[tuple[object, ...]]:
        """Connections closed in the last minute, from the kernel; empty for ranks that report meetings themselves."""
        if self._known or self._tells_itself:
            return frozenset()
        try:
            ends = [(one.own, one.other) for one in _connections([], _CLOSED)]
        except OSError:  # then the check for open ones fails as well, which counts as a meeting
            return frozenset()
        return frozenset(end for end in ends if not self._ignored_ports & {end[0][1], end[1][1]})

    def _used_store(self) -> bool:
        try:
            return self._store is not None and self._store.num_keys() > 0
        except RuntimeError:
            return True


def mark_connections(folder: Path, server_url: str) -> None:
    """In a rank, before its script starts: write the mark as soon as Python connects to a possible other rank."""
    if sys.platform != "linux":
        return
    ignored_ports = _ignored_ports(server_url)
    marked = False

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal marked
        if event != "socket.connect" or marked:
            return
        connecting, address = arguments
        if connecting.type == socket.SOCK_STREAM and isinstance(address, tuple) and address[1] not in ignored_ports:
            marked = True
            with suppress(OSError):
                meeting_mark(folder).touch()

    sys.addaudithook(note)


def mark_meeting(folder: Path, server_url: str) -> None:
    """In a rank, when its script has ended: write the mark if the process shows that it met others."""
    if sys.platform == "linux" and (_had_group() or connected([os.getpid()], _ignored_ports(server_url))):
        with suppress(OSError):
            meeting_mark(folder).touch()


def _had_group() -> bool:
    """Whether torch.distributed was initialised in this process, even if the group was destroyed again."""
    module = sys.modules.get("torch.distributed.distributed_c10d")
    if module is None:
        return False
    return bool(getattr(module, "_default_pg_init_method", None)) or bool(module.is_initialized())


def _ignored_ports(server_url: str) -> frozenset[int]:
    """Ports whose connections are no meetings: those of downloads, and of Headway's server."""
    return _DOWNLOAD_PORTS | {urlsplit(server_url).port or 80}


def connected(pids: list[int], ignored_ports: frozenset[int]) -> bool:
    """Whether one of these ranks has an open connection that may lead to another rank; true if that is unknown."""
    try:
        owners = {inode: pid for pid in pids for inode in _sockets(pid)}
        connections = _connections(pids)
    except OSError:
        return True
    by_ends = {(one.own, one.other): one for one in connections}
    for one in connections:
        owner = owners.get(one.inode)
        if owner is None or one.other[1] in ignored_ports or one.own[1] in ignored_ports:
            continue
        peer = by_ends.get((one.other, one.own))
        if peer is None or owners.get(peer.inode) != owner:
            return True
    return False


def _sockets(rank: int) -> set[int]:
    """Inodes of the sockets of a rank and of all processes that it started. Raises OSError without permission."""
    found = set()
    for pid in (rank, *descendants(rank)):
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            if _lives(pid):
                raise
            continue
        for name in names:
            with suppress(FileNotFoundError):
                target = os.readlink(f"{folder}/{name}")
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
    return found


def _lives(pid: int) -> bool:
    """Whether a process has not ended. The sockets of an ended process cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return False


def _connections(ranks: list[int], state: str = _ESTABLISHED) -> list[_Connection]:
    """The TCP connections in the given state, in the ranks' network; see proc_net(5)."""
    found = []
    network = next((f"/proc/{pid}/net" for pid in ranks if _lives(pid)), "/proc/net")
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError), open(f"{network}/{name}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == state:
                    found.append(_Connection(_end(fields[1]), _end(fields[2]), int(fields[9])))
    return found


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    return address.removeprefix(_MAPPED), int(port, 16)
