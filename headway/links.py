"""Symbolic links that stay inside their folder. Standard library only, because ranks need it too."""

from __future__ import annotations

import os
from pathlib import Path


def inner_target(link: Path, folder: Path) -> Path | None:
    """The target of a link, relative to `folder`; None if it is outside the folder or does not exist."""
    root = os.path.realpath(folder)
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(root) or not target.exists():
        return None
    return target.relative_to(root)


def relative_text(link: Path, folder: Path, target: Path) -> str:
    """The text of a link to `target`, a path relative to `folder`, so that it works if the folder is moved."""
    text = os.readlink(link)
    name = link.relative_to(folder)
    if not os.path.isabs(text) and stays_inside(name.as_posix(), text):
        return text
    return os.path.relpath(os.path.join(os.path.realpath(folder), target), os.path.realpath(link.parent))


def stays_inside(name: str, text: str) -> bool:
    """Whether a link `name` with the text `text` stays in its folder, judged by the text alone."""
    whole = os.path.normpath(os.path.join(os.path.dirname(name), text))
    return not os.path.isabs(text) and whole.partition("/")[0] != ".."
