"""Waiting, within one process, for what its tasks bring about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_PATIENCE_SECONDS = 20.0
"""Long, for a machine with many tests at once: what is waited for takes milliseconds."""


async def until(fact: Callable[[], object]) -> None:
    """Return once it is so. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not fact():
            await asyncio.sleep(0.005)
