"""Checks whether a worker's process still runs, by its port, after its connection has closed."""

from __future__ import annotations

import asyncio
import logging

from headway.core.worker import Worker

_log = logging.getLogger(__name__)
_PROBE_TIMEOUT_SECONDS = 1.0
_PROBES = 10


async def process_ended(worker: Worker) -> bool:
    """Whether the worker's port refuses connections, which means that its process has ended. Anything else proves
    nothing.
    """
    try:
        for _ in range(_PROBES):
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                answered = await _greets(worker)
            if answered:
                return False
            # A process that ends may close its connection before its port. Try again.
            await asyncio.sleep(_PROBE_TIMEOUT_SECONDS / _PROBES)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError) as error:
        _log.warning("Worker %s closed its connection and does not answer: %s", worker.name, error)
    return False


async def _greets(worker: Worker) -> bool:
    """Whether the worker's port answers with its greeting. Raises ConnectionRefusedError, OSError."""
    reader, writer = await asyncio.open_connection(worker.host, worker.port)
    try:
        return bool(await reader.read(1))
    except ConnectionResetError:
        return False
    finally:
        writer.close()
