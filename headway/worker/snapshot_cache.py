"""Snapshots on the worker's disk. Each is fetched once and unpacked when needed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from headway.errors import Corrupt, InputUnusable
from headway.formats import snapshot
from headway.worker.transfers import write_chunks


class SnapshotCache:
    """One archive per hash, complete or absent. The least recently used one is dropped first."""

    def __init__(self, folder: Path, maximum_bytes: int, fetch: Callable[[str], AsyncIterator[bytes]]) -> None:
        self._folder = folder
        self._maximum_bytes = maximum_bytes
        self._fetch = fetch
        self._fetching: dict[str, asyncio.Lock] = {}
        self._used: Counter[str] = Counter()

    async def unpack(self, sha256: str, target: Path) -> None:
        """Unpack the snapshot into a new folder. Raises InputUnusable, Corrupt, and the errors of `fetch`."""
        path = self._folder / f"{sha256}.tar.zst"
        self._used[path.name] += 1
        try:
            async with self._fetching.setdefault(sha256, asyncio.Lock()):
                if not path.exists():
                    await self._download(sha256, path)
                os.utime(path)
                try:
                    await asyncio.to_thread(snapshot.unpack, path, target)
                except Corrupt as error:
                    if await asyncio.to_thread(_sha256, path) == sha256:
                        raise InputUnusable(str(error)) from error
                    path.unlink()  # the disk changed it; the next attempt fetches it again
                    raise
        finally:
            self._used[path.name] -= 1
            self._evict()

    async def _download(self, sha256: str, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".new-") as file:
            if await write_chunks(self._fetch(sha256), file) != sha256:
                raise Corrupt(f"Snapshot {sha256[:12]} does not match its hash.")
            os.link(file.name, path)

    def _evict(self) -> None:
        """Drop archives until the bound holds, even the one just used if it alone is larger."""
        archives = sorted(self._folder.glob("*.tar.zst"), key=lambda path: path.stat().st_mtime)
        total_bytes = sum(path.stat().st_size for path in archives)
        for path in archives:
            if total_bytes <= self._maximum_bytes:
                return
            if not self._used[path.name]:
                total_bytes -= path.stat().st_size
                path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
