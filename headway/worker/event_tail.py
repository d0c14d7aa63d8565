"""Tails the TensorBoard event files of an attempt, wherever they appear in its folders."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

from headway.core.artifact import legal_name
from headway.formats.reports import LogLine
from headway.formats.sections import LATEST_SECONDS
from headway.rank_protocol.record_bounds import MAXIMUM_NAME_CHARACTERS
from headway.worker.event_files import Scalar, find_event_files, process_of, read_records, scalars
from headway.worker.harvest import MAXIMUM_HARVEST_BYTES, Harvest
from headway.worker.regular_files import read_part, size_of

_SEARCH_SECONDS = 2.0
_MAXIMUM_READ_BYTES = 1 << 20
_MAXIMUM_FILES = 1_000
"""Every report names each file with its offset, so their number is limited."""
_EVENTS = "events:"
"""The prefix of the names of event files in the offsets."""
_NEVER = 1 << 62


class EventTail:
    """The event files below some folders. `rank_of_process`: maps the pid that writes a file to its rank."""

    def __init__(self, first_rank: int) -> None:
        self.rank_of_process: dict[int, int] = {}
        self._event_folders: dict[str, Path] = {}
        self._starts: dict[str, int] = {}
        self._first_rank = first_rank
        self._files: dict[str, Path] = {}
        self._searched_at = float("-inf")
        self._too_many = False

    def begin(self, folders: dict[str, Path]) -> None:
        """Start to read the event files below these folders (by name). Their present content is skipped."""
        self._starts = {key: size_of(path) for key, path in _find(folders)}
        self._event_folders = folders

    def start(self, key: str) -> list[int]:
        """The offset where reading starts."""
        start = self._starts.get(key, 0)
        return [start, start]

    def sizes(self) -> dict[str, list[int]]:
        """The sizes of the files, as offsets."""
        self._search()
        return {key: [size_of(path)] for key, path in self._files.items()}

    def read(self, harvest: Harvest, *, final: bool) -> None:
        """Take the new scalars after the harvest's offsets."""
        if final:
            self._searched_at = float("-inf")
        self._search()
        if self._too_many:
            words = (
                f"headway: there are more than {_MAXIMUM_FILES:,} event files; the scalars of the others are not read"
            )
            harvest.lines.append(LogLine(self._first_rank, time.time(), words))
            self._too_many = False
        read_before_bytes = harvest.read_bytes
        for key, path in list(self._files.items()):
            if harvest.read_bytes - read_before_bytes >= MAXIMUM_HARVEST_BYTES:
                harvest.more = True
                break
            self._files[key] = self._files.pop(key)  # so that each file gets its turn
            self._read(key, path, harvest)

    def _search(self) -> None:
        """Search for files from time to time: a walk through the working directory is expensive."""
        if not self._event_folders or time.monotonic() - self._searched_at < _SEARCH_SECONDS:
            return
        self._searched_at = time.monotonic()
        for key, path in _find(self._event_folders):
            if size_of(path) <= self._starts.get(key, 0):
                continue
            if key not in self._files and len(self._files) >= _MAXIMUM_FILES:
                self._too_many = True
                self._event_folders = {}
                return
            self._files.setdefault(key, path)

    def _read(self, key: str, path: Path, harvest: Harvest) -> None:
        offset = harvest.offsets.get(key, self.start(key))[0]
        rank = self.rank_of_process.get(process_of(path) or 0, self._first_rank)
        read = 0
        try:
            content = read_part(path, offset, _MAXIMUM_READ_BYTES)
            harvest.read_bytes += len(content)
            for end, record in read_records(content):
                read = end
                for scalar in scalars(record):
                    self._add(scalar, rank, harvest)
            harvest.more |= read > 0 and len(content) == _MAXIMUM_READ_BYTES
        except (ValueError, struct.error, OSError) as error:
            why = "cannot be read" if isinstance(error, OSError) else "is damaged and is not read further"
            words = f"headway: {legal_name(path.name)} {why}: {error}"
            harvest.lines.append(LogLine(rank, time.time(), words))
            read = _NEVER
        harvest.offsets[key] = [offset + read]

    def _add(self, scalar: Scalar, rank: int, harvest: Harvest) -> None:
        at = scalar.at if 0 <= scalar.at <= LATEST_SECONDS else time.time()
        harvest.add_point(scalar.tag[:MAXIMUM_NAME_CHARACTERS], rank, scalar.step, at, scalar.value)


def _find(folders: dict[str, Path]) -> Iterator[tuple[str, Path]]:
    """The event files below folders, with their names in the offsets."""
    for folder_name, folder in folders.items():
        for path in find_event_files(folder):
            yield f"{_EVENTS}{folder_name}/{legal_name(str(path.relative_to(folder)))}", path
