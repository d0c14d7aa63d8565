"""A working directory as one archive, with the same bytes for the same files. Clients pack it, workers unpack it."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from headway.core.size import size
from headway.errors import Corrupt, InvalidInput, TooLarge
from headway.formats.bounded import MAXIMUM_WINDOW_BYTES
from headway.formats.ignored_files import find_files
from headway.tar_members import MAXIMUM_MEMBERS, UNPACK_ERRORS, Member, checked_members, path_problem

MAXIMUM_UNPACKED_BYTES = 1 << 30
_LEVEL = 3
_NAMED_ENTRIES = 5
_HEADER_BYTES = 2048
"""The largest average size of a member's headers."""


@dataclass(frozen=True)
class Snapshot:
    """A packed directory: the archive is in `file`, from its beginning."""

    sha256: str
    size_bytes: int
    file_count: int
    file: IO[bytes]


def pack(
    directory: Path | None, extra: Mapping[str, bytes] | None = None, packed_bytes: Callable[[int], None] | None = None
) -> Snapshot:
    """Pack a directory, if one is given, and `extra` files. Empty folders are included.

    Files that git ignores or .headwayignore names are left out. `packed_bytes` is called with the size of each file
    that was added. Raises InvalidInput for files that cannot be packed; TooLarge, which names the largest entries,
    before anything is packed.
    """
    if directory is not None and directory.resolve() in (Path(os.path.expanduser("~")).resolve(), Path("/")):
        raise InvalidInput(f"The working directory would be {directory}, your whole home. Give another --workdir.")
    paths, folders = _checked(directory) if directory is not None else ([], [])
    archive = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the snapshot
    try:
        with (
            zstandard.ZstdCompressor(level=_LEVEL).stream_writer(archive, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in sorted([*paths, *folders]):
                with suppress(FileNotFoundError):  # it went away meanwhile
                    added = _add_path(tar, path, path.relative_to(directory or path).as_posix())
                    if packed_bytes is not None:
                        packed_bytes(added)
            for name, content in sorted((extra or {}).items()):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))
        size_bytes = archive.tell()
        archive.seek(0)
        digest = hashlib.file_digest(archive, "sha256").hexdigest()
        archive.seek(0)
    except BaseException:
        archive.close()
        raise
    return Snapshot(digest, size_bytes, len(paths) + len(extra or {}), archive)


def _add_path(tar: tarfile.TarFile, path: Path, name: str) -> int:
    """Add a file, link or empty folder; its size in bytes."""
    try:
        entry = tar.gettarinfo(path, name)
        if entry.isreg() and path.stat().st_nlink > 1:
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
        # Owner and time must not change the hash, and must not be copied to another machine.
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.mode & stat.S_IXUSR or entry.isdir() else 0o644
        entry.pax_headers = {}
        if entry.isreg():
            with path.open("rb") as file:
                tar.addfile(entry, file)
        else:
            tar.addfile(entry)
        return entry.size
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _cannot_be_packed(path, error) from error


def _cannot_be_packed(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"{path} cannot be packed: {error.strerror or error}. Name it in .headwayignore.")


def _checked(directory: Path) -> tuple[list[Path], list[Path]]:
    """The files to pack, and the empty folders, after a check of sizes and links."""
    if not directory.is_dir():
        raise InvalidInput(f"The working directory {directory} does not exist.")
    sizes: dict[Path, int] = {}
    root = directory.resolve()
    paths, folders = find_files(directory)
    for path in paths:
        try:
            sizes[path] = _size_bytes(path, root, directory)
        except FileNotFoundError:
            continue  # it went away meanwhile
        except OSError as error:
            raise _cannot_be_packed(path, error) from error
    _check_paths(directory, [*sizes, *folders])
    total_bytes = sum(sizes.values())
    if total_bytes > MAXIMUM_UNPACKED_BYTES:
        raise TooLarge(
            f"The working directory {directory} has {size(total_bytes)} in {len(sizes):,} files; at most "
            f"{size(MAXIMUM_UNPACKED_BYTES)} can be sent. {_largest_entries(directory, sizes)}"
        )
    return [*sizes], folders


def largest_entries(directory: Path) -> str:
    """Sentences that name the largest entries of a directory that is too large, and what to do."""
    root = directory.resolve()
    return _largest_entries(directory, {path: _size_bytes(path, root, directory) for path in find_files(directory)[0]})


def _largest_entries(directory: Path, sizes: Mapping[Path, int]) -> str:
    entries: Counter[str] = Counter()
    for path, size_bytes in sizes.items():
        first, *inner = path.relative_to(directory).parts
        entries[f"{first}/" if inner else first] += size_bytes
    named = ", ".join(f"{name} ({size(size_bytes)})" for name, size_bytes in entries.most_common(_NAMED_ENTRIES))
    return (
        f"The largest entries: {named}. List in .headwayignore what the job does not need, or add it as a dataset: "
        "headway datasets add NAME PATH"
    )


def _size_bytes(path: Path, root: Path, directory: Path) -> int:
    """The file's size; 0 for a link. Raises InvalidInput for other entries, and for links that lead outside."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        if os.path.isabs(os.readlink(path)) or not path.resolve().is_relative_to(root):
            raise InvalidInput(f"{path} links to something outside {directory}. Name it in .headwayignore.")
        return 0
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{path} is neither a file nor a link. Name it in .headwayignore.")
    return status.st_size


def _check_paths(directory: Path, paths: list[Path]) -> None:
    for path in paths:
        problem = path_problem(path.relative_to(directory).as_posix())
        if problem is not None:
            raise InvalidInput(f"{path} {problem}. Name it in .headwayignore.")
    if len(paths) > MAXIMUM_MEMBERS:
        folders = Counter(path.relative_to(directory).parts[0] for path in paths)
        named = ", ".join(f"{name} ({count:,})" for name, count in folders.most_common(3))
        raise TooLarge(
            f"The working directory {directory} has {len(paths):,} files; {MAXIMUM_MEMBERS:,} are allowed. "
            f"Most are in: {named}. Name unneeded files in .headwayignore, or add them as a dataset."
        )


class _Bounded:
    """The unpacked archive as a file that raises once it is too long. Sizes in headers are not trusted."""

    def __init__(self, file: IO[bytes], maximum_bytes: int) -> None:
        self._file = file
        self._left_bytes = maximum_bytes

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left_bytes -= len(content)
        if self._left_bytes < 0:
            raise Corrupt("its headers take too much room")
        return content


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive into a new folder. Each member is checked, so that nothing is written outside the folder.

    Raises Corrupt for a damaged or malicious archive (PEP 706).
    """
    target.mkdir(parents=True)
    try:
        with (
            archive.open("rb") as file,
            zstandard.ZstdDecompressor(max_window_size=MAXIMUM_WINDOW_BYTES).stream_reader(file) as unpacked,
            tarfile.open(
                fileobj=_Bounded(unpacked, MAXIMUM_UNPACKED_BYTES + MAXIMUM_MEMBERS * _HEADER_BYTES),  # type: ignore[call-overload] # it needs read() only
                mode="r|",
                tarinfo=Member,
            ) as tar,
        ):
            for member in checked_members(tar, MAXIMUM_UNPACKED_BYTES):
                tar.extract(member, target, filter="data")
    except (*UNPACK_ERRORS, zstandard.ZstdError, Corrupt) as error:
        raise Corrupt(f"Snapshot {archive.name[:12]} cannot be unpacked: {error}") from error
