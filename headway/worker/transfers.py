"""Writes chunks of bytes to a file, and hashes them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import IO


async def write_chunks(chunks: AsyncIterator[bytes], file: IO[bytes]) -> str:
    """Write all chunks. Returns their SHA-256 in hexadecimal. The event loop never waits for the disk."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    await asyncio.to_thread(file.flush)
    return digest.hexdigest()
