"""The worker's slots: one accelerator each, or an equal share of the cores."""

from __future__ import annotations

import os
import shutil
import subprocess


class Slots:
    """Hands out slot numbers, never more than there are. Slots below `accelerators` are those devices."""

    def __init__(self, total: int, accelerators: int) -> None:
        self.total = total
        self.accelerators = accelerators
        self._free = list(range(total))

    def take(self, count: int) -> list[int] | None:
        """That many slots, or None if fewer are free."""
        if count > len(self._free):
            return None
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give_back(self, slots: list[int]) -> None:
        """Slots that are free again."""
        self._free = sorted([*self._free, *slots])


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_accelerators() -> tuple[str, ...]:
    """Names of the NVIDIA devices, as their driver's tool lists them; none where it is not installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
