"""The worker's slots: one accelerator each, or an equal share of the cores."""

from __future__ import annotations

import os

from headway.worker.cgroup import Cgroup


class Slots:
    """Hands out slot numbers, never more than there are."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = list(range(total))

    def take(self, count: int) -> list[int] | None:
        """That many slots, or None if fewer are free."""
        if count > len(self._free):
            return None
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give_back(self, slots: list[int]) -> None:
        """Free slots again."""
        self._free = sorted([*self._free, *slots])


def usable_cores(cgroup: Cgroup | None = None) -> int:
    """How many cores this process may use. A share of a core, as in a pod, counts as one."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = (cgroup or Cgroup()).cores()
    return there if limit is None else max(1, min(there, int(limit)))
