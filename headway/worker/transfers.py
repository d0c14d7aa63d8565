"""Bytes that come in chunks, written to a file and hashed on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import IO


async def write_chunks(chunks: AsyncIterator[bytes], file: IO[bytes]) -> str:
    """Write all chunks; the SHA-256 of what was written, in hexadecimal. The event loop never waits for the disk."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    await asyncio.to_thread(file.flush)
    return digest.hexdigest()
