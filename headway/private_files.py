"""Restricts files and folders to their owner, whatever mode they had."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from headway.errors import SettingInvalid
from headway.folders import walk

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def private_home(home: Path, names: Iterable[str]) -> None:
    """Create a home, or restrict its entries with these names (globs) to their owner.

    The folder itself is restricted too. If it has other entries, other users may still read it but not write: a user
    who can rename files can replace them. Raises SettingInvalid with the command to run if an entry belongs to
    another user; OSError.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = {path for name in names for path in home.glob(name)}
    for path in ours:
        close(path)
    _close_one(home, _OTHERS if ours.issuperset(home.iterdir()) else _OTHERS_WRITE)


def close(path: Path) -> None:
    """Restrict a file, or a folder with its contents, to its owner. Does nothing if it does not exist.

    The folder itself is restricted last, so a restricted folder needs no second check. Raises SettingInvalid, OSError.
    """
    if path.is_symlink() or not path.exists():
        return
    if path.is_dir() and _open_to_others(path):
        for folder, folders, names in walk(path):
            for name in (*names, *folders):
                _close_one(folder / name)
    _close_one(path)


def make_private(path: Path) -> None:
    """Create an empty file if it does not exist, and restrict it to its owner. Raises SettingInvalid, OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    _close_one(path)


def _open_to_others(path: Path, permissions: int = _OTHERS) -> bool:
    mode = path.lstat().st_mode
    return not stat.S_ISLNK(mode) and bool(mode & permissions)


def _close_one(path: Path, permissions: int = _OTHERS) -> None:
    """Remove these permissions from all users except the owner."""
    try:
        if _open_to_others(path, permissions):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~permissions)
    except FileNotFoundError:
        return  # it was deleted meanwhile
    except PermissionError as error:
        folder = path if path.is_dir() else path.parent
        can, recursive, change = ("read", "-R ", "go-rwx") if permissions == _OTHERS else ("changed", "", "go-w")
        raise SettingInvalid(
            f"{path} can be {can} by others and belongs to another user, so it cannot be closed. "
            f"Run: sudo chown {recursive}{os.geteuid()} {folder} && chmod {recursive}{change} {folder}"
        ) from error
