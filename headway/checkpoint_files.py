"""A directory of checkpoint files as one archive. Standard library only: ranks of foreign environments pack, too."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from headway.errors import CheckpointCorrupt, Corrupt, TooLarge
from headway.tar_members import MAXIMUM_MEMBERS, UNPACK_ERRORS, Member, checked_members, path_problem

Signature = tuple[tuple[str, int, int, int], ...]
"""What there is: name, inode, size and time of the last change in nanoseconds of each file."""
_UNFINISHED_PREFIXES = (".", "tmp-", "tmp_")
_UNFINISHED_SUFFIXES = (".tmp", ".part", ".partial", ".new", ".incomplete")


def unfinished(name: str) -> bool:
    """Whether a name says that what it names is still being written."""
    return name.startswith(_UNFINISHED_PREFIXES) or name.endswith(_UNFINISHED_SUFFIXES)


def files_of(folder: Path, *, hidden: bool = False) -> list[Path]:
    """The regular files under a folder, in order, without unfinished ones unless `hidden`."""
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if hidden or not unfinished(name))
        found += [Path(base, name) for name in sorted(names) if hidden or not unfinished(name)]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def signature(folder: Path) -> Signature:
    """Changes whenever a file does. A file that goes away meanwhile is left out."""
    entries = []
    for path in files_of(folder):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        name = path.relative_to(folder).as_posix()
        entries.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(entries)


def pack_files(folder: Path, target: Path, names: tuple[str, ...] | None = None, *, hidden: bool = False) -> None:
    """Write a tar of the folder's files, or of those named, to `target`: whole or not at all.

    Raises TooLarge for what could not be unpacked again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.new")
    paths = files_of(folder, hidden=hidden) if names is None else [folder / name for name in names]
    if len(paths) > MAXIMUM_MEMBERS:
        raise TooLarge(f"{folder} has {len(paths):,} files; a checkpoint may have {MAXIMUM_MEMBERS:,}")
    for path in paths:
        problem = path_problem(path.relative_to(folder).as_posix())
        if problem is not None:
            raise TooLarge(f"{path} {problem}")
    try:
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in paths:
                    entry = tar.gettarinfo(path, path.relative_to(folder).as_posix())
                    entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
                    with path.open("rb") as content:
                        tar.addfile(entry, content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def unpack_files(archive: Path, folder: Path) -> None:
    """Write an archive's files into a folder, nothing outside it (PEP 706). Raises CheckpointCorrupt."""
    try:
        with tarfile.open(archive, mode="r:", tarinfo=Member) as tar:
            for member in checked_members(tar, archive.stat().st_size):
                if not member.isreg():
                    raise Corrupt(f"it has {member.name!r}, which is no file")
                tar.extract(member, folder, filter="data")
    except (*UNPACK_ERRORS, Corrupt) as error:
        raise CheckpointCorrupt(f"its archive cannot be unpacked: {error}") from error
