"""Walks and removals for folders of any depth. Those of the standard library recurse once per level."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(
    folder: Path, skip: Callable[[str], bool] = lambda _name: False
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder, with the names of its folders and of its other entries. Links are entries and are not followed.

    Folders with a name in `skip` and unreadable folders are left out.
    """
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        folders: list[str] = []
        names: list[str] = []
        try:
            with os.scandir(parent) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        names.append(entry.name)
                    elif not skip(entry.name):
                        folders.append(entry.name)
        except OSError:
            continue
        yield parent, folders, names
        waiting += [parent / name for name in folders]


def remove(folder: Path) -> None:
    """Delete a folder and its contents as far as possible, also folders without write permission."""
    if folder.is_symlink():
        _quietly(os.unlink, folder)
        return
    found: list[tuple[Path, list[str]]] = []
    _quietly(_open_up, folder)
    for parent, folders, names in walk(folder):
        found.append((parent, names))
        for name in folders:  # walked after this
            _quietly(_open_up, parent / name)
    for parent, names in reversed(found):
        for name in names:
            _quietly(os.unlink, parent / name)
        _quietly(os.rmdir, parent)


def _open_up(folder: Path) -> None:
    os.chmod(folder, 0o700)


def _quietly(act: Callable[[Path], None], path: Path) -> None:
    try:
        act(path)
    except OSError:
        return
