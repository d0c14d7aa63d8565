"""The load of this machine, or of the pod where the worker runs."""

from __future__ import annotations

import time
from functools import cache

import psutil

from headway.core.worker import WorkerLoad
from headway.worker.cgroup import Cgroup


class Load:
    """Processor and memory use: of the control group if it limits them, otherwise of the machine."""

    def __init__(self, cgroup: Cgroup | None = None) -> None:
        self._cgroup = cgroup or Cgroup()
        self._at = time.monotonic()
        self._cpu_seconds = self._cgroup.cpu_seconds()

    def read(self) -> WorkerLoad:
        """Processor use since the last call, and memory use now."""
        memory = self._cgroup.memory()
        if memory is None:
            machine = psutil.virtual_memory()
            used_bytes, memory_bytes = machine.total - machine.available, machine.total
        else:
            used_bytes, memory_bytes = memory
        return WorkerLoad(cpu_fraction=self._cpu_fraction(), memory_used_bytes=used_bytes, memory_bytes=memory_bytes)

    def _cpu_fraction(self) -> float:
        cores, used = self._cgroup.cores(), self._cgroup.cpu_seconds()
        before, self._cpu_seconds = self._cpu_seconds, used
        now = time.monotonic()
        elapsed, self._at = now - self._at, now
        if cores is None or used is None or before is None or elapsed <= 0:
            return psutil.cpu_percent() / 100
        return max(0.0, used - before) / elapsed / cores


@cache
def _own_load() -> Load:
    return Load()


def read_load() -> WorkerLoad:
    """Processor use since the last call, and memory use now, of everything that shares this process's limits."""
    return _own_load().read()
