"""Working directories on this worker: one per job. All attempts of the job here share it, as under torchrun."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headway.errors import HeadwayError
from headway.folders import remove, walk
from headway.worker.regular_files import open_file, write_new

_log = logging.getLogger(__name__)
_WORK, _SENT, _STATE = "work", "sent.json", "state.json"
_CACHES = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache", "wandb"}
)
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
_ASKED_AT_ONCE = 1_000
_SWEEP_SECONDS = 60.0
_JOB = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""A job's id. Folders with other names were made by scripts."""
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""Scripts can write to the notes, so they may contain anything."""
Sent = Mapping[str, Sequence[Any]]
"""The files as sent, by name: size, modification time in nanoseconds, inode, and hash; for a link its target."""


@dataclass(frozen=True)
class ChangedFile:
    """A file or link in a working directory that is new or changed. `cache`: it is a cache file, not a result."""

    name: str
    path: Path
    size_bytes: int
    modified_ns: int
    cache: bool


class _State(NamedTuple):
    """The size of a folder, whether it has files that are stored nowhere else, and when it was used last."""

    size_bytes: int
    unstored: bool
    used_at: float


class WorkFolders:
    """A job's working directory stays until the job has ended, or until other jobs need the space.

    A directory with files that were not stored stays for `retention_seconds` after the job's end.
    """

    def __init__(self, home: Path, maximum_bytes: int, retention_seconds: float, unasked_bytes: int) -> None:
        """`unasked_bytes`: how many bytes of an attempt's files are stored if the job names no outputs."""
        self.retention_seconds = retention_seconds
        self.unasked_bytes = unasked_bytes
        self._home = (home / "jobs").absolute()
        self._maximum_bytes = maximum_bytes
        self._in_use: set[str] = set()
        self._removing = asyncio.Lock()

    def path(self, job: str) -> Path:
        """The folder where the job's ranks run."""
        return self._home / job / _WORK

    async def open(self, job: str, fill: Callable[[Path], Awaitable[None]]) -> bool:
        """Use the job's working directory. True if it is new: then `fill` unpacks the sent files into a new folder.

        A directory that a killed worker had filled only partly is filled again.
        """
        async with self._removing:
            self._in_use.add(job)
        folder = self._home / job
        if (folder / _SENT).exists() and (folder / _WORK).is_dir():
            return False
        new = folder / f"new-{secrets.token_hex(4)}"  # a cancelled fill may still write to its own folder
        try:
            await fill(new)
            await asyncio.to_thread(_complete, folder, new)
        except BaseException as error:
            if isinstance(error, Exception):  # a cancelled fill may still be writing
                await asyncio.to_thread(remove, new)
            self.leave(job)
            raise
        return True

    def leave(self, job: str) -> None:
        """Note that an attempt ended before its ranks started."""
        self._in_use.discard(job)

    def folder(self, job: str) -> Path:
        """The folder with the job's working directory and other kept files. It is absolute, because users see it."""
        return self._home / job

    def keep_output(self, job: str, attempt: int, output: Path) -> None:
        """Keep the output directory of an attempt that had no time to store all of it."""
        kept = self._home / job / f"output-{attempt}"
        if not kept.exists():
            output.rename(kept)

    def changed(self, job: str) -> list[ChangedFile]:
        """The files and links that are new or changed since they were sent, by name; all if the note is missing."""
        try:
            sent: Sent = dict(_read(self._home / job / _SENT))
        except _UNREADABLE:
            sent = {}
        return [file for file in _walk(self.path(job)) if not _as_sent(file, sent.get(file.name))]

    async def close(self, job: str, *, unstored: bool) -> None:
        """Note that an attempt has ended. `unstored`: it left files that are stored nowhere else."""
        try:
            await asyncio.to_thread(self._close, job, unstored)
            async with self._removing:
                await asyncio.to_thread(self._evict, job)
        except OSError as error:  # for example, the disk is full
            _log.warning("The size of the working directory of job %s was not noted: %s", job, error)
        finally:
            self.leave(job)

    def _close(self, job: str, unstored: bool) -> None:
        folder = self._home / job
        if folder.exists():
            _write(folder / _STATE, _State(_size_bytes(folder), unstored, time.time())._asdict())

    async def keep_sweeping(self, ended: Callable[[tuple[str, ...]], Awaitable[tuple[str, ...]]]) -> None:
        """Sweep once a minute, forever."""
        while True:
            try:
                await self.sweep(ended, time.time())
            except (HeadwayError, OSError) as error:
                _log.debug("Working directories were not swept: %s", error)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def sweep(self, ended: Callable[[tuple[str, ...]], Awaitable[tuple[str, ...]]], now: float) -> None:
        """Remove the folders of jobs that have ended. `ended` returns which of the given jobs have."""
        idle = self._idle()
        for start in range(0, len(idle), _ASKED_AT_ONCE):
            for job in await ended(tuple(idle[start : start + _ASKED_AT_ONCE])):
                state = await asyncio.to_thread(self._state, job)
                kept = state.unstored and now - state.used_at < self.retention_seconds
                async with self._removing:
                    if job not in self._in_use and not kept:
                        await asyncio.to_thread(remove, self._home / job)

    def _idle(self) -> list[str]:
        if not self._home.exists():
            return []
        names = (path.name for path in self._home.iterdir() if path.name not in self._in_use)
        return sorted(filter(_JOB.fullmatch, names))

    def _evict(self, newest: str) -> None:
        """Remove the least recently used folders beyond the bound. `newest` always stays."""
        states = {job: self._state(job) for job in {*self._idle(), newest}}
        total_bytes = sum(state.size_bytes for state in states.values())
        for job in sorted(states.keys() - {newest}, key=lambda job: states[job].used_at):
            if total_bytes <= self._maximum_bytes:
                return
            total_bytes -= states[job].size_bytes
            _log.warning("The working directory of job %s was removed: other jobs need the space.", job)
            remove(self._home / job)

    def _state(self, job: str) -> _State:
        """The noted state of the folder. If its worker was killed before it wrote the note, it is determined here."""
        folder = self._home / job
        try:
            noted = _read(folder / _STATE)
            return _State(int(noted["size_bytes"]), bool(noted["unstored"]), float(noted["used_at"]))
        except _UNREADABLE:
            state = _State(_size_bytes(folder), unstored=True, used_at=time.time())
            with suppress(OSError):  # for example, it is gone
                _write(folder / _STATE, state._asdict())
            return state


def _complete(folder: Path, new: Path) -> None:
    """Write the note about the sent files, then make the folder the working directory. The note marks it complete."""
    sent = {file.name: _note(file) for file in _walk(new)}
    remove(folder / _WORK)
    new.rename(folder / _WORK)
    _write(folder / _SENT, sent)


def _note(file: ChangedFile) -> list[Any]:
    status = file.path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return [os.readlink(file.path)]
    return [status.st_size, status.st_mtime_ns, status.st_ino, _hash(file.path)]


def _as_sent(file: ChangedFile, note: Sequence[Any] | None) -> bool:
    """Whether a file is unchanged since it was sent. Only a file whose metadata changed has to be read."""
    if note is None:
        return False
    try:
        status = file.path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return list(note) == [os.readlink(file.path)]
        if len(note) == 1 or status.st_size != note[0]:
            return False
        return [status.st_mtime_ns, status.st_ino] == list(note[1:3]) or _hash(file.path) == note[3]
    except (OSError, TypeError, IndexError):
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(work: Path) -> list[ChangedFile]:
    """All regular files and links, by name."""
    found: list[ChangedFile] = []
    caches: set[Path] = set()
    for parent, folders, names in walk(work):
        cache = parent in caches or parent.name in _CACHES or _VIRTUAL_ENVIRONMENT in names
        for name in names:
            path = parent / name
            try:
                status = path.lstat()
            except OSError:
                continue  # it disappeared meanwhile
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                whole_name = path.relative_to(work).as_posix()
                found.append(ChangedFile(whole_name, path, status.st_size, status.st_mtime_ns, cache))
        if cache:
            caches.update(parent / one for one in folders)
    return sorted(found, key=lambda file: file.name)


def _size_bytes(folder: Path) -> int:
    return sum(file.size_bytes for file in _walk(folder))


def _read(path: Path) -> Any:
    with open_file(path) as file:
        return json.load(file)


def _write(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".new")
    write_new(temporary, json.dumps(value))
    temporary.rename(path)
