"""The limits of this process's control group, such as its pod's, and what is used of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED_BYTES = 1 << 60
"""Version 1 says a number near 2^63 for no limit."""


class MemoryUse(NamedTuple):
    """Of a group with a limit. `used_bytes` leaves out what the kernel can drop at any time, such as read files."""

    used_bytes: int
    limit_bytes: int


class Cgroup:
    """The group of this process, of version 1 or 2. Everything is None where nothing limits it."""

    def __init__(self, root: Path = _ROOT, own: Path = _OWN) -> None:
        unified = (root / "cgroup.controllers").exists()
        names = ("memory.max", "memory.current", "memory.stat", "inactive_file")
        legacy_names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file")
        self._limit_name, self._use_name, self._stat_name, self._droppable = names if unified else legacy_names
        self._memory = _folder(root, own, "" if unified else "memory", self._limit_name)
        self._cpu = _folder(root, own, "" if unified else "cpu", "cpu.max" if unified else "cpu.cfs_quota_us")
        self._usage = _folder(root, own, "" if unified else "cpuacct", "cpu.stat" if unified else "cpuacct.usage")
        self._unified = unified

    def memory(self) -> MemoryUse | None:
        """What is used of the limit of memory."""
        if self._memory is None:
            return None
        limit = _first_number(self._memory / self._limit_name)
        used = _first_number(self._memory / self._use_name)
        if limit is None or used is None or limit >= _UNLIMITED_BYTES:
            return None
        droppable = _named_number(self._memory / self._stat_name, self._droppable) or 0
        return MemoryUse(max(0, used - droppable), limit)

    def cores(self) -> float | None:
        """How many cores' time the group gets."""
        if self._cpu is None:
            return None
        if self._unified:
            words = _text(self._cpu / "cpu.max").split()
            quota, period = (words[0], words[1]) if len(words) == 2 else ("max", "")
        else:
            quota, period = _text(self._cpu / "cpu.cfs_quota_us"), _text(self._cpu / "cpu.cfs_period_us")
        if not (quota.isdigit() and period.isdigit() and int(quota) and int(period)):
            return None  # max, or -1
        return int(quota) / int(period)

    def cpu_seconds(self) -> float | None:
        """The processor time that the group has used."""
        if self._usage is None:
            return None
        if self._unified:
            used = _named_number(self._usage / "cpu.stat", "usage_usec")
            return None if used is None else used / 1e6
        used = _first_number(self._usage / "cpuacct.usage")
        return None if used is None else used / 1e9


def _folder(root: Path, own: Path, controller: str, file: str) -> Path | None:
    """Where the group of a controller is. In a container the group itself is often mounted as the root."""
    mount = root / controller
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            folder = mount / path.lstrip("/")
            if (folder / file).exists():
                return folder
    return mount if (mount / file).exists() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _first_number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _named_number(path: Path, name: str) -> int | None:
    for line in _text(path).splitlines():
        word, _, number = line.partition(" ")
        if word == name and number.isdigit():
            return int(number)
    return None
