"""Files that attempts leave in a job's working directory on a worker, and the warnings about them. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from glob import escape

from pydantic import Field

from headway.core.frozen import Frozen
from headway.core.size import size

MAXIMUM_NAMED = 5
"""A list names this many files and counts the others."""
_NAME_CHARACTERS = 200
_HOUR_SECONDS = 3600
_ESCAPED_BYTE = re.compile("%[0-9A-F]{2}")
"""How a file list writes a byte that an artifact's name cannot contain."""


class FileList(Frozen):
    """The number of files, their total size, and the largest as (name, bytes), largest first."""

    count: int = Field(default=0, ge=0)
    size_bytes: int = Field(default=0, ge=0)
    largest: tuple[tuple[str, int], ...] = Field(default=(), max_length=MAXIMUM_NAMED)

    @property
    def shown(self) -> str:
        """The largest by name and size, and how many more there are."""
        named = [f"{name} ({size(size_bytes)})" for name, size_bytes in self.largest]
        if self.count > len(named):
            named.append(f"{self.count - len(named):,} more")
        return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}" if named else "none"

    def plus(self, other: FileList) -> FileList:
        """The files of both lists."""
        largest = sorted((*self.largest, *other.largest), key=lambda one: -one[1])[:MAXIMUM_NAMED]
        return FileList(
            count=self.count + other.count, size_bytes=self.size_bytes + other.size_bytes, largest=tuple(largest)
        )


def file_list(files: Iterable[tuple[str, int]]) -> FileList:
    """The list of files given as (name, bytes). Long names are cut."""
    found = sorted(files, key=lambda one: (-one[1], one[0]))
    largest = tuple((name[:_NAME_CHARACTERS], size_bytes) for name, size_bytes in found[:MAXIMUM_NAMED])
    return FileList(count=len(found), size_bytes=sum(size_bytes for _, size_bytes in found), largest=largest)


class LeftFiles(Frozen):
    """The files that attempt `attempt` left in the job's working directory, in `folder` on one worker.

    `changed`: files that are new or changed since the directory was sent; `unstored`: those of them that are not
    artifacts. `kept_seconds`: how long the folder stays after the job's end. `lost`: the worker was lost before it
    reported them.
    """

    attempt: int
    folder: str = Field(default="", max_length=4_000)
    changed: FileList = FileList()
    unstored: FileList = FileList()
    kept_seconds: float = 0.0
    lost: bool = False


def _stays(left: LeftFiles, part: str) -> str:
    hours = f"{left.kept_seconds / _HOUR_SECONDS:.0f} h"
    return f"in {left.folder}/{part} until {hours} after the job's end, or until the space is needed"


def outputs_not_stored(worker: str, left: LeftFiles, files: FileList) -> str:
    """The warning about files in HEADWAY_OUTPUT_DIRECTORY when ranks were ended without time to store them."""
    return (
        f"Attempt {left.attempt} was ended without time to store its files in HEADWAY_OUTPUT_DIRECTORY: "
        f"{files.shown}. They stay on worker {worker} {_stays(left, f'output-{left.attempt}')}."
    )


def not_kept(files: FileList, workers: Iterable[str], left: LeftFiles) -> str:
    """The warning at the job's end about files that are not artifacts."""
    names = sorted(workers)
    place = f"worker {names[0]}" if len(names) == 1 else f"{len(names)} workers"
    what = "1 file" if files.count == 1 else f"{files.count:,} files"
    words = (
        f"{what} of the working directory on {place} {'was' if files.count == 1 else 'were'} not kept: {files.shown}. "
        f"To keep such a file, give `--output {_pattern(files)}` or write it to HEADWAY_OUTPUT_DIRECTORY."
    )
    if left.kept_seconds:
        words += f" Worker {names[0]} keeps the working directory {_stays(left, 'work')}."
    return words


def _pattern(files: FileList) -> str:
    """The `--output` pattern for the largest of the files, quoted for a shell."""
    if not files.largest:
        return "'*.pt'"
    pattern = _ESCAPED_BYTE.sub("*", escape(files.largest[0][0]))
    return shlex.quote(pattern) if "'" in pattern else f"'{pattern}'"


def stayed_behind(attempt: int, worker: str, away: dict[str, LeftFiles]) -> str:
    """The warning about a new attempt that lacks the files which the previous one left on other workers."""
    starts = f"Attempt {attempt} starts on worker {worker} without the files that attempt"
    number = max(one.attempt for one in away.values())
    names = ", ".join(sorted(away)[:MAXIMUM_NAMED])
    if all(one.lost for one in away.values()):
        return (
            f"{starts} {number} may have written to its working directory on worker {names}, which was lost. "
            "Write files that the next attempt needs to HEADWAY_CHECKPOINT_DIRECTORY."
        )
    files = FileList()
    for one in away.values():
        files = files.plus(one.changed)
    return (
        f"{starts} {number} left in its working directory on worker {names}: {files.shown}. "
        "Write files that the next attempt needs to HEADWAY_CHECKPOINT_DIRECTORY."
    )
