"""Sending a working directory: it is packed here, and uploaded unless the server has it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from headway.client.connection import Connection
from headway.client.programs import check_lock
from headway.client.transfers import transfer_progress
from headway.core.size import counted, size
from headway.errors import NotFound, TooLarge
from headway.formats.snapshot import Snapshot, largest_entries, pack

_CHUNK_BYTES = 1 << 20
_TOLD_SECONDS = 1.0
"""The user is told about an upload that took longer."""


def send_snapshot(
    connection: Connection, folder: Path | None, files: Mapping[str, bytes] | None, lock: str | None
) -> str:
    """Send a snapshot of a directory and of further files, unless the server has it. Returns its hash.

    The files that a lock file needs are sent too. Raises InvalidInput when an ignore file leaves one of them out,
    TooLarge before anything is packed.
    """
    if folder is not None and lock is not None:
        check_lock(lock, folder)
    began = time.monotonic()
    with transfer_progress("Packing", None) as packed:
        snapshot = pack(folder, files, packed)
    path = f"/snapshots/{snapshot.sha256}"
    with snapshot.file:
        try:
            connection.request("HEAD", path)
        except NotFound:
            with transfer_progress("Uploading", snapshot.size_bytes) as sent:
                headers = {"Content-Length": str(snapshot.size_bytes)}
                try:
                    connection.request("PUT", path, content=_chunks(snapshot, sent), headers=headers)
                except TooLarge as error:
                    raise TooLarge(f"{error.message} {largest_entries(folder) if folder else ''}".rstrip()) from error
            _tell(snapshot, time.monotonic() - began)
    return snapshot.sha256


def _chunks(snapshot: Snapshot, sent: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := snapshot.file.read(_CHUNK_BYTES):
        yield chunk
        sent(len(chunk))


def _tell(snapshot: Snapshot, seconds: float) -> None:
    """Say on a terminal what was sent, if it took long."""
    if seconds >= _TOLD_SECONDS and sys.stderr.isatty():
        files = counted(snapshot.file_count, "file")
        rate = size(snapshot.size_bytes / seconds)
        print(f"Sent {files}, {size(snapshot.size_bytes)} packed, in {seconds:.1f} s ({rate}/s).", file=sys.stderr)
