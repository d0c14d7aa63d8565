"""Symbolic links that stay inside the folder they are kept with. Standard library only: ranks need it, too."""

from __future__ import annotations

import os
from pathlib import Path


def inner_target(link: Path, folder: Path) -> Path | None:
    """The file or folder behind a link, relative to `folder`; None if it is outside of it, or does not exist."""
    root = os.path.realpath(folder)
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(root) or not target.exists():
        return None
    return target.relative_to(root)


def relative_text(link: Path, folder: Path, target: Path) -> str:
    """What the link to `target`, a path relative to `folder`, has to say so that it works wherever the folder is."""
    text = os.readlink(link)
    name = link.relative_to(folder)
    if not os.path.isabs(text) and stays_inside(name.as_posix(), text):
        return text
    return os.path.relpath(os.path.join(os.path.realpath(folder), target), os.path.realpath(link.parent))


def stays_inside(name: str, text: str) -> bool:
    """Whether a link called `name` in a folder, that says `text`, stays in the folder as far as its words tell."""
    whole = os.path.normpath(os.path.join(os.path.dirname(name), text))
    return not os.path.isabs(text) and whole.partition("/")[0] != ".."
