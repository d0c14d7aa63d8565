"""What is used of this machine."""

from __future__ import annotations

import psutil

from headway.core.worker import WorkerLoad


def read_load() -> WorkerLoad:
    """Processor use since the last call, and memory use now, of everything on the machine."""
    memory = psutil.virtual_memory()
    return WorkerLoad(
        cpu_fraction=psutil.cpu_percent() / 100,
        memory_used_bytes=memory.total - memory.available,
        memory_bytes=memory.total,
    )
