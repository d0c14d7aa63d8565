"""The outputs of an attempt: files in the output directory, and new or changed files in the working directory."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from headway.core.artifact import Artifact, legal_name
from headway.core.facts import ArtifactStored, Fact, FilesLeft, StageReached
from headway.core.left_files import file_list
from headway.core.protocol import Claimed
from headway.errors import HeadwayError, Unavailable
from headway.folders import walk
from headway.links import inner_target
from headway.worker.connection import Connection
from headway.worker.preparation import Prepared
from headway.worker.work_folders import ChangedFile, WorkFolders

_log = logging.getLogger(__name__)
MAXIMUM_FILES = 500
MAXIMUM_UNASKED_FILES = 200
"""The most files of the working directory that are stored if the job names no outputs."""
_RETRY_SECONDS = 0.5
_STARS = re.compile(r"\*\*+")


@dataclass
class Outputs:
    """The files to store: paths by name. `links` lead to files inside their folder, which is the second value.

    `names`: the original names of everything that was added. `explained`: files that are not stored, for a reason that
    `problems` gives.
    """

    files: dict[str, Path] = field(default_factory=dict)
    links: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    renamed: int = 0
    names: set[str] = field(default_factory=set)
    explained: set[str] = field(default_factory=set)
    _suffixes: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, path: Path, folder: Path) -> None:
        """Add a file or link once, under a valid artifact name."""
        if name in self.names:
            return
        self.names.add(name)
        legal = legal_name(name)
        self.renamed += legal != name
        wanted = legal
        while legal in self.files or legal in self.links:
            self._suffixes[wanted] = self._suffixes.get(wanted, 0) + 1
            legal = f"{wanted}_{self._suffixes[wanted]}"
        if not path.is_symlink():
            self.files[legal] = path
        elif inner_target(path, folder) is None:
            why = "outside its folder. Copy the file instead." if path.exists() else "that does not exist."
            self.problems.append(f"{legal} was not stored: it is a link to a file {why}")
            self.explained.add(_place(path))
        else:
            self.links[legal] = path, folder

    @property
    def all_problems(self) -> list[str]:
        """The known problems: files that are not stored, or stored under another name."""
        if not self.renamed:
            return self.problems
        several = "1 file name has" if self.renamed == 1 else f"{self.renamed:,} file names have"
        words = (
            f"{several} bytes that are not UTF-8, control characters or backslashes. Each is stored as a percent "
            "sign and its number, as in URLs."
        )
        return [*self.problems, words]

    def cut(self) -> None:
        """Leave out files beyond MAXIMUM_FILES."""
        count = len(self.files) + len(self.links)
        if count <= MAXIMUM_FILES:
            return
        self.problems.append(f"Only {MAXIMUM_FILES} of {count:,} files are stored: pack many files into an archive.")
        for name in list(self.files)[MAXIMUM_FILES:]:
            self.explained.add(_place(self.files.pop(name)))
        for name in list(self.links)[MAXIMUM_FILES - len(self.files) :]:
            self.explained.add(_place(self.links.pop(name)[0]))


@dataclass
class Stored:
    """The stored files, and a sentence about each problem. `cut_off`: there was not enough time for all files.

    `explained`: files that are not stored, for a reason that `problems` gives.
    """

    facts: list[Fact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    explained: set[str] = field(default_factory=set)
    cut_off: bool = False

    @property
    def warning(self) -> str | None:
        """All problems, short enough for a fact."""
        return " ".join(self.problems)[:1000] or None

    def has(self, path: Path) -> bool:
        """Whether the file or link is stored."""
        return _place(path) in self.places

    def unexplained(self, path: Path) -> bool:
        """Whether the file or link is not stored and `problems` does not explain it."""
        place = _place(path)
        return place not in self.places and place not in self.explained


def find_outputs(
    output: Path, work: Path, patterns: Sequence[str], changed: Sequence[ChangedFile], maximum_bytes: int
) -> Outputs:
    """All files of the output directory, and those `changed` files of the working directory that the patterns match.

    Without patterns: the files written last, without caches, up to `maximum_bytes` and MAXIMUM_UNASKED_FILES.
    """
    outputs = Outputs()
    for path in sorted(_files(output)):
        outputs.add(path.relative_to(output).as_posix(), path, output)
    places = {_place(file.path) for file in changed} if patterns else set()
    try:
        for name, path in sorted(_matches(work, patterns)):
            if _place(path) in places:
                outputs.add(name, path, work)
    except RecursionError:  # pathlib calls itself once per level
        outputs.problems.append("Folders of the working directory are nested too deeply to search them for --output.")
    outputs.cut()
    if not patterns:
        _add_unasked(outputs, work, changed, maximum_bytes)
    return outputs


def _place(path: Path) -> str:
    """A unique path of a file or link, with links in its folders resolved."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _leads_out(file: ChangedFile) -> bool:
    """Whether it is a broken link, or one that leads out of the working directory. No option keeps its target."""
    work = file.path.parents[file.name.count("/")]
    return file.path.is_symlink() and inner_target(file.path, work) is None


def _add_unasked(outputs: Outputs, work: Path, changed: Sequence[ChangedFile], maximum_bytes: int) -> None:
    left_bytes, left_files = maximum_bytes, MAXIMUM_UNASKED_FILES
    for file in sorted(changed, key=lambda file: -file.modified_ns):
        if file.name in outputs.names or file.cache or file.size_bytes > left_bytes or not left_files:
            continue
        outputs.add(file.name, file.path, work)
        left_bytes -= file.size_bytes
        left_files -= 1


def _files(folder: Path) -> Iterator[Path]:
    """The regular files and links below a folder; links are not followed."""
    for parent, _, names in walk(folder):
        for path in (parent / name for name in names):
            if path.is_symlink() or path.is_file():
                yield path


def _matches(work: Path, patterns: Sequence[str]) -> Iterator[tuple[str, Path]]:
    for pattern in patterns:
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        # ** is a whole part. Beside other characters it means *, as in shells and git; pathlib does not support that.
        glob = "/".join(part if part == "**" else _STARS.sub("*", part) for part in parts)
        for path in work.glob(glob) if glob else (work,):
            for file in _files(path) if path.is_dir() and not path.is_symlink() else (path,):
                yield file.relative_to(work).as_posix(), file


async def store_results(
    claimed: Claimed,
    prepared: Prepared,
    folders: WorkFolders,
    connection: Connection,
    *,
    out_of_time: Callable[[], bool],
) -> Stored:
    """Store the outputs, and say which files stay on this worker."""
    changed = await asyncio.to_thread(folders.changed, claimed.job)
    outputs = await asyncio.to_thread(
        find_outputs, prepared.output, prepared.work, claimed.spec.outputs, changed, folders.unasked_bytes
    )
    stored = await store_outputs(claimed, outputs, connection, out_of_time)
    if stored.facts and claimed.group_rank == 0:
        stored.facts.append(StageReached(stage="stored", at=time.time()))
    left = await asyncio.to_thread(_left_files, claimed, prepared, folders, changed, stored)
    stored.facts += left
    prepared.unstored = bool(stored.explained) or any(one.unstored.count or one.outputs.count for one in left)
    return stored


async def store_outputs(
    claimed: Claimed, outputs: Outputs, connection: Connection, out_of_time: Callable[[], bool]
) -> Stored:
    """Upload every file. A bad file does not stop the others. Waits for a server that is down until `out_of_time`."""
    stored = Stored(problems=[*outputs.all_problems], explained={*outputs.explained})
    prefix = f"worker-{claimed.group_rank}/" if claimed.group_rank else ""
    known: dict[str, Artifact] = {}
    for name, path in outputs.files.items():
        artifact = await _store(claimed, prefix + name, path, connection, out_of_time, stored)
        if artifact is not None:
            known[os.path.realpath(path)] = artifact
    for name, (link, folder) in outputs.links.items():
        behind = _behind(name, link, folder, known)
        if len(stored.facts) + len(behind) > MAXIMUM_FILES + MAXIMUM_UNASKED_FILES:
            stored.problems.append(f"{name} was not stored: the links lead to more than {MAXIMUM_FILES} files.")
            stored.explained.add(_place(link))
            continue
        if not behind:
            stored.problems.append(f"{name} was not stored: it is a link to a folder of which no file is stored.")
        for alias, path in behind:
            same = known.get(os.path.realpath(path))
            if same is None:  # the file itself is not an output
                await _store(claimed, prefix + alias, path, connection, out_of_time, stored)
            else:
                _link(prefix + alias, same, stored)
        stored.places.add(_place(link))
    return stored


def _link(name: str, same: Artifact, stored: Stored) -> None:
    """Add another name for an artifact, for a link to its file."""
    try:
        artifact = Artifact.model_validate({**same.model_dump(), "name": name, "link_to": same.name})
        stored.facts.append(ArtifactStored(artifact=artifact))
    except ValidationError as error:
        stored.problems.append(f"{name[:200]} was not stored: {error}")


def _behind(name: str, link: Path, folder: Path, known: dict[str, Artifact]) -> list[tuple[str, Path]]:
    """The names for a link: its own for a link to a file; one per stored file for a link to a folder."""
    target = os.path.realpath(link)
    if os.path.isfile(target):
        return [(name, Path(target))]
    if Path(os.path.realpath(folder)).is_relative_to(target):
        return []  # a link to its own folder would name each file twice
    inside = sorted(path for path in known if path.startswith(target + os.sep))
    return [(f"{name}/{legal_name(os.path.relpath(path, target))}", Path(path)) for path in inside]


async def _store(
    claimed: Claimed, name: str, path: Path, connection: Connection, out_of_time: Callable[[], bool], stored: Stored
) -> Artifact | None:
    while not out_of_time():
        try:
            artifact = await connection.store_artifact(claimed, name, path)
            stored.facts.append(ArtifactStored(artifact=artifact))
            stored.places.add(_place(path))
            return artifact
        except Unavailable as error:
            _log.warning("Storing %s waits for the server: %s", name, error)
            await asyncio.sleep(_RETRY_SECONDS)
        except (HeadwayError, OSError, ValidationError) as error:
            stored.problems.append(f"{name} was not stored: {error}")
            stored.explained.add(_place(path))
            return None
    stored.problems.append(f"{name} was not stored.")
    stored.cut_off = True
    return None


def _left_files(
    claimed: Claimed, prepared: Prepared, folders: WorkFolders, changed: Sequence[ChangedFile], stored: Stored
) -> list[FilesLeft]:
    """A sentence for the user and a fact for the next attempt about files that were not stored; empty if there are
    none.

    An output directory that could not be stored is kept beside the working directory.
    """
    results = [(legal_name(file.name), file) for file in changed if not file.cache]
    unstored = [
        (name, file.size_bytes) for name, file in results if stored.unexplained(file.path) and not _leads_out(file)
    ]
    outputs = [path for path in _files(prepared.output) if not stored.has(path)]
    if not results and not outputs:
        return []
    if any(not os.path.islink(place) for place in stored.explained):
        hours = f"{folders.retention_seconds / 3600:.0f} h"
        stored.problems.append(
            f"Files that were not stored stay in {folders.folder(claimed.job)} on the worker until {hours} after the "
            "job's end, or until other jobs need the space."
        )
    sizes = [
        (legal_name(path.relative_to(prepared.output).as_posix()), path.lstat().st_size)
        for path in outputs
        if stored.unexplained(path)
    ]
    if outputs:
        with suppress(OSError):  # then the files are gone, but they were named
            folders.keep_output(claimed.job, claimed.attempt, prepared.output)
    return [
        FilesLeft(
            folder=str(folders.folder(claimed.job))[:4_000],
            changed=file_list((name, file.size_bytes) for name, file in results),
            unstored=file_list(unstored),
            outputs=file_list(sizes),
            kept_seconds=folders.retention_seconds,
        )
    ]
