"""The worker's slots: one accelerator each, or an equal share of the cores."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple

_DRIVER_TIMEOUT_SECONDS = 20.0


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


class AcceleratorUse(NamedTuple):
    """What is used of a device: 1.0 is all of its time."""

    busy_fraction: float
    memory_bytes: float


def accelerator_use() -> dict[int, AcceleratorUse]:
    """By the device's index, as the driver's tool tells; what it does not tell is left out."""
    found = {}
    for line in _ask_driver("index,utilization.gpu,memory.used"):
        try:
            index, percent, mebibytes = line.split(",")
            found[int(index)] = AcceleratorUse(float(percent) / 100, float(mebibytes) * (1 << 20))
        except ValueError:  # a device that says [N/A], as some virtual ones do
            continue
    return found


def find_accelerators() -> tuple[str, ...]:
    """Names of the NVIDIA devices, as their driver's tool lists them; none where it is not installed."""
    return tuple(_ask_driver("name"))


def _ask_driver(fields: str) -> list[str]:
    """A line per device, as nvidia-smi --help-query-gpu describes them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
