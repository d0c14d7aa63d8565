"""Files and folders that only their owner may read, whatever mode they had."""

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
    """Make a home, or take what is in it under these names (globs) from all but its owner.

    The folder itself is closed, too. If it has other things in it, others may still read it, but not write: whoever
    can rename its files can replace them. Raises SettingInvalid with the command to use where something is another
    user's; OSError.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = {path for name in names for path in home.glob(name)}
    for path in ours:
        close(path)
    _close_one(home, _OTHERS if ours.issuperset(home.iterdir()) else _OTHERS_WRITE)


def close(path: Path) -> None:
    """Take a file, or a folder with all below it, from all but its owner. One that is not there is left out.

    The folder itself is closed last, so one that is closed need not be looked through again. Raises SettingInvalid,
    OSError.
    """
    if path.is_symlink() or not path.exists():
        return
    if path.is_dir() and _open_to_others(path):
        for folder, folders, names in walk(path):
            for name in (*names, *folders):
                _close_one(folder / name)
    _close_one(path)


def make_private(path: Path) -> None:
    """Make an empty file unless it is there, and close it. Raises SettingInvalid, OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    _close_one(path)


def _open_to_others(path: Path, permissions: int = _OTHERS) -> bool:
    mode = path.lstat().st_mode
    return not stat.S_ISLNK(mode) and bool(mode & permissions)


def _close_one(path: Path, permissions: int = _OTHERS) -> None:
    """Take these permissions from all but its owner."""
    try:
        if _open_to_others(path, permissions):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~permissions)
    except FileNotFoundError:
        return  # it went away meanwhile
    except PermissionError as error:
        folder = path if path.is_dir() else path.parent
        can, recursive, change = ("read", "-R ", "go-rwx") if permissions == _OTHERS else ("changed", "", "go-w")
        raise SettingInvalid(
            f"{path} can be {can} by others and belongs to another user, so it cannot be closed. "
            f"Run: sudo chown {recursive}{os.geteuid()} {folder} && chmod {recursive}{change} {folder}"
        ) from error
