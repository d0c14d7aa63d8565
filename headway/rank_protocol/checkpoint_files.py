"""Packs a directory of checkpoint files into one archive. Standard library only: ranks in any environment use it."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from headway.errors import CheckpointCorrupt, Corrupt, TooLarge
from headway.folders import walk
from headway.links import inner_target, relative_text, stays_inside
from headway.tar_members import MAXIMUM_MEMBERS, UNPACK_ERRORS, Member, checked_members, path_problem

Signature = tuple[tuple[str, int, int, int], ...]
"""Per file and link: name, inode, size, and time of the last change in nanoseconds."""
_UNFINISHED_PREFIXES = (".", "tmp-", "tmp_")
_UNFINISHED_SUFFIXES = (".tmp", ".part", ".partial", ".new", ".incomplete")


def unfinished(name: str) -> bool:
    """Whether a name marks a file or folder that is still being written."""
    return name.startswith(_UNFINISHED_PREFIXES) or name.endswith(_UNFINISHED_SUFFIXES)


def files_of(folder: Path, *, hidden: bool = False) -> list[Path]:
    """The regular files and links below a folder, in order. Unfinished ones only if `hidden`."""
    found = [
        parent / name
        for parent, _, names in walk(folder, _skip(hidden=hidden))
        for name in names
        if hidden or not unfinished(name)
    ]
    return [path for path in sorted(found) if path.is_file() or path.is_symlink()]


def _skip(*, hidden: bool) -> Callable[[str], bool]:
    return (lambda _name: False) if hidden else unfinished


def signature(folder: Path) -> Signature:
    """A value that changes whenever a file or link changes. A file that disappears meanwhile is left out."""
    entries = []
    for path in files_of(folder):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        name = path.relative_to(folder).as_posix()
        entries.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(entries)


def pack_files(
    folder: Path, target: Path, names: Sequence[str] | None = None, *, hidden: bool = False
) -> tuple[str, ...]:
    """Write a tar of the folder's files and links, or of those named, to `target`. It is complete, or not written.

    Empty folders are included. Returns the names of links that are not: they lead out of the folder or to nothing.
    Raises TooLarge for an archive that could not be unpacked again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.new")
    paths = files_of(folder, hidden=hidden) if names is None else [folder / name for name in names]
    if len(paths) > MAXIMUM_MEMBERS:
        raise TooLarge(f"{folder} has {len(paths):,} files; a checkpoint may have at most {MAXIMUM_MEMBERS:,}")
    for path in paths:
        problem = path_problem(path.relative_to(folder).as_posix())
        if problem is not None:
            raise TooLarge(f"{path} {problem}")
    left_out: list[str] = []
    try:
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in paths:
                    if not _add(tar, path, folder, hidden=hidden):
                        left_out.append(path.relative_to(folder).as_posix())
                for path in _empty_folders(folder, hidden=hidden):
                    tar.addfile(tar.gettarinfo(path, path.relative_to(folder).as_posix()))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return tuple(left_out)


def _add(tar: tarfile.TarFile, path: Path, folder: Path, *, hidden: bool) -> bool:
    """Add a file, or a link to what is in the archive. A link to a file that is not in it is added as that file."""
    name = path.relative_to(folder).as_posix()
    if path.is_symlink():
        target = inner_target(path, folder)
        if target is None:
            return False
        if hidden or not any(map(unfinished, target.parts)):
            entry = tar.gettarinfo(path, name)
            entry.linkname = relative_text(path, folder, target)
            tar.addfile(entry)
            return True
        if not path.is_file():
            return False
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as content:
        status = os.fstat(content.fileno())
        if not stat.S_ISREG(status.st_mode):  # it was a file a moment ago
            raise FileNotFoundError(f"{path} is no longer a file")
        entry = tar.gettarinfo(arcname=name, fileobj=content)
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", status.st_size
        tar.addfile(entry, content)
    return True


def _empty_folders(folder: Path, *, hidden: bool) -> list[Path]:
    walked = walk(folder, _skip(hidden=hidden))
    return sorted(parent for parent, folders, names in walked if not folders and not names and parent != folder)


def unpack_files(archive: Path, folder: Path) -> None:
    """Write an archive's files into a folder, and nothing outside it (PEP 706). Raises CheckpointCorrupt.

    Links are created last, so that no file is written through one.
    """
    links: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(archive, mode="r:", tarinfo=Member) as tar:
            for member in checked_members(tar, archive.stat().st_size):
                if member.issym() and stays_inside(member.name, member.linkname):
                    links.append(member)
                elif member.isreg() or member.isdir():
                    tar.extract(member, folder, filter="data")
                else:
                    raise Corrupt(f"it contains {member.name!r}, which is not a file")
            for link in links:
                tar.extract(link, folder, filter="data")
    except (*UNPACK_ERRORS, Corrupt, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        raise CheckpointCorrupt(f"its archive cannot be unpacked: {error}") from error
    for link in links:
        path = folder / link.name
        if path.is_symlink() and inner_target(path, folder) is None:
            path.unlink()
            raise CheckpointCorrupt(f"its archive has the link {link.name!r}, whose target is not in it")
