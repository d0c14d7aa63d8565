"""Objects as files in one folder: `file:///srv/headway/objects`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from headway.core.problem import Problem
from headway.errors import SettingInvalid, Unavailable
from headway.objects.base import Objects, StoredObject, absent, check_object_id
from headway.private_files import close

_CHUNK_BYTES = 1 << 20
_INCOMING = ".incoming"
_LEAST_FREE_BYTES = 2 << 30


class FileObjects(Objects):
    """One file per object: written under a temporary name, synced, then renamed."""

    def __init__(self, url: str) -> None:
        self._root = Path(unquote(urlsplit(url).path))

    async def open(self) -> None:
        try:
            incoming = self._root / _INCOMING
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            close(self._root)
            incoming.mkdir(exist_ok=True, mode=0o700)
            for leftover in incoming.iterdir():
                leftover.unlink()
        except OSError as error:
            raise SettingInvalid(f"HEADWAY_OBJECTS_URL names {self._root}, which cannot be used: {error}") from error

    async def open_to_read(self) -> None:
        if not self._root.is_dir():
            raise SettingInvalid(f"HEADWAY_OBJECTS_URL names {self._root}, which does not exist.")

    async def close(self) -> None:
        return None

    async def problems(self) -> list[Problem]:
        if not self._root.exists():
            return []  # the first start creates it
        if not self._root.is_dir() or not os.access(self._root, os.R_OK | os.W_OK | os.X_OK):
            raise SettingInvalid(f"{self._root} is not a folder that you may write to.")
        free_bytes = shutil.disk_usage(self._root).free
        if free_bytes >= _LEAST_FREE_BYTES:
            return []
        return [
            Problem(
                f"The disk of the objects in {self._root} has {free_bytes / 1e9:.1f} GB left.",
                "Free some, or move the folder and set HEADWAY_OBJECTS_URL.",
            )
        ]

    async def put(self, object_id: str, chunks: AsyncIterator[bytes]) -> StoredObject:
        target = self._path(object_id)
        temporary = self._root / _INCOMING / secrets.token_hex(8)
        digest = hashlib.sha256()
        size_bytes = 0
        with self._usable():
            file = _created(temporary)
        try:
            async for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                with self._usable():
                    await asyncio.to_thread(file.write, chunk)
            with self._usable():
                await asyncio.to_thread(_sync, file)
                await asyncio.to_thread(_publish, temporary, target)
        finally:
            with suppress(OSError):  # what went wrong is known by now
                file.close()
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return StoredObject(size_bytes, digest.hexdigest())

    async def get(self, object_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        try:
            with self._usable():
                file = self._path(object_id).open("rb")
        except FileNotFoundError as error:
            raise absent(object_id) from error
        with file:
            file.seek(start)
            left = (end if end is not None else os.fstat(file.fileno()).st_size) - start
            while left > 0:
                with self._usable():
                    chunk = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, left))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk

    async def size_bytes(self, object_id: str) -> int:
        try:
            with self._usable():
                return self._path(object_id).stat().st_size
        except FileNotFoundError as error:
            raise absent(object_id) from error

    async def delete(self, object_id: str) -> None:
        path = self._path(object_id)
        with self._usable():
            path.unlink(missing_ok=True)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        folder = prefix.rpartition("/")[0]
        left = [f"{folder}/" if folder else ""]  # the last is next; those of folders end in a slash
        while left:
            name = left.pop()
            if name and not name.endswith("/"):
                yield name
                continue
            with self._usable():
                names = await asyncio.to_thread(_names, self._root, name)
            left += reversed(
                [one for one in names if one.startswith(prefix) or (one[-1] == "/" and prefix.startswith(one))]
            )

    def _path(self, object_id: str) -> Path:
        return self._root / check_object_id(object_id)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Errors of the file system become Unavailable, except that a file is not there."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            what = error.strerror or str(error)
            raise Unavailable(f"The objects in {self._root} cannot be read or written: {what}.") from error


def _created(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(file: IO[bytes]) -> None:
    file.flush()  # or its last bytes reach the disk only when it is closed
    os.fsync(file.fileno())


def _names(root: Path, folder: str) -> list[str]:
    """What is in a folder of the store, by code points, with a slash after folders. Nothing if it does not exist."""
    try:
        with os.scandir(root / folder) as entries:
            return sorted(
                f"{folder}{entry.name}/" if entry.is_dir() else f"{folder}{entry.name}"
                for entry in entries
                if entry.name != _INCOMING
            )
    except (FileNotFoundError, NotADirectoryError):
        return []


def _publish(temporary: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary.rename(target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
