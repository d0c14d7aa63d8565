"""Samples the processor, memory and accelerator use of each rank, as metrics named system/..."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import psutil

from headway.core.metric import SYSTEM
from headway.worker.devices import device_use


class Sample(NamedTuple):
    """A value of one rank at a time, in seconds since the epoch."""

    name: str
    rank: int
    at: float
    value: float


class ResourceSamples:
    """Samples the ranks of one attempt, including the processes that they started."""

    def __init__(self, every_seconds: float, devices: Mapping[int, int]) -> None:
        """`devices`: rank to the driver's index of its accelerator, for ranks that have one."""
        self._every_seconds = every_seconds
        self._sampled_at = time.monotonic()
        self._cpu_seconds: dict[int, float] = {}
        self._cores: dict[int, float] = {}
        self._devices = devices

    @property
    def cores(self) -> float | None:
        """The cores that all ranks used together at the last sample; None before the second."""
        return sum(self._cores.values()) if self._cores else None

    def due(self) -> bool:
        """Whether the next sample is due."""
        return time.monotonic() - self._sampled_at >= self._every_seconds

    def take(self, processes: dict[int, int]) -> list[Sample]:
        """Samples of all ranks (rank to pid): resident bytes, and average cores since the previous sample."""
        now = time.monotonic()
        elapsed = now - self._sampled_at
        self._sampled_at = now
        samples: list[Sample] = []
        for rank, pid in processes.items():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                memory_bytes = sum(one.memory_info().rss for one in family)
                cpu_seconds = sum(sum(one.cpu_times()[:2]) for one in family)
                samples.append(Sample(f"{SYSTEM}memory_bytes", rank, time.time(), float(memory_bytes)))
                if rank in self._cpu_seconds:
                    cores = max(0.0, cpu_seconds - self._cpu_seconds[rank]) / elapsed
                    samples.append(Sample(f"{SYSTEM}cpu_cores", rank, time.time(), cores))
                    self._cores[rank] = cores
                self._cpu_seconds[rank] = cpu_seconds
        use = device_use() if self._devices else {}
        for rank, index in self._devices.items():
            if rank in processes and index in use:
                samples.append(Sample(f"{SYSTEM}gpu_fraction", rank, time.time(), use[index].busy_fraction))
                samples.append(Sample(f"{SYSTEM}gpu_memory_bytes", rank, time.time(), use[index].memory_bytes))
        return samples
