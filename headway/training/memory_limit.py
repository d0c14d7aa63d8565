"""Limits a rank's memory: by the kernel if a cgroup can be created, otherwise by regular checks."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from headway.training.process_table import session_memory_bytes

_CGROUPS = Path("/sys/fs/cgroup")


class MemoryLimit:
    """The limit for one rank and all processes that it starts. `watched`: it needs regular calls of `look`."""

    def __init__(self, pid: int, limit_bytes: int) -> None:
        self._pid = pid
        self._limit_bytes = limit_bytes
        self._exceeded = False
        self._cgroup = _make_cgroup(pid, limit_bytes)
        self.watched = self._cgroup is None

    def look(self) -> None:
        """Kill the rank if it uses too much. In a cgroup the kernel does that itself."""
        if self.watched and not self._exceeded and session_memory_bytes(self._pid) > self._limit_bytes:
            self._exceeded = True
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)

    def exceeded(self) -> bool:
        """Whether the rank ended because of the limit."""
        if self._cgroup is not None:
            with suppress(OSError):
                events = dict(line.split() for line in (self._cgroup / "memory.events").read_text().splitlines())
                self._exceeded |= events.get("oom_kill", "0") != "0"
        return self._exceeded

    def remove(self) -> None:
        """Remove the cgroup, once its processes have ended."""
        if self._cgroup is not None:
            with suppress(OSError):
                self._cgroup.rmdir()


def _make_cgroup(pid: int, limit_bytes: int) -> Path | None:
    """A cgroup (v2) for the rank below ours; None if this process may not create one that limits memory."""
    try:
        own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        group = _CGROUPS / own.lstrip("/") / f"headway-rank-{pid}"
        if "memory" not in (group.parent / "cgroup.subtree_control").read_text().split():
            return None
        group.mkdir()
    except (OSError, StopIteration):
        return None
    try:
        (group / "memory.max").write_text(str(limit_bytes))
        with suppress(OSError):
            (group / "memory.swap.max").write_text("0")
            (group / "memory.oom.group").write_text("1")
        (group / "cgroup.procs").write_text(str(pid))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        return None
    return group


def machine_memory_kills() -> int:
    """How many processes the kernel has killed since boot because memory ran out; 0 if unknown."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
