"""The inputs of a lock file: the files that it includes, and the local projects and packages that it names.

Clients check that all of them are uploaded. Workers compute the key of an environment from them.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from headway.errors import EnvironmentFailed

_INCLUDE = re.compile(r"(?:-r|-c|--requirements?|--constraints?)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<path>\S.*)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s*=\s*|\s+)(?P<path>\S.*)")
_FIND_LINKS = re.compile(r"(?:-f|--find-links)(?:\s*=\s*|\s+)(?P<path>\S.*)")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*@\s*(?P<path>\S.*)")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_EXTRAS = re.compile(r"\[[^\[\]/]*\]$")
_PACKAGE_FILE = re.compile(r"\.(?:whl|zip|tar\.gz|tgz)$")
_OTHER_FORM = (AttributeError, TypeError, ValueError, NotImplementedError, RecursionError)
"""Errors of malformed files: text instead of a table, invalid patterns, or files that include each other deeply."""


@dataclass
class LockContents:
    """`files`: lock files and those that they include. `packages`: local files or folders that are installed as copies.
    `editables`: folders of editable projects. `settings`: other files that change the environment."""

    files: dict[Path, bytes] = field(default_factory=dict)
    packages: set[Path] = field(default_factory=set)
    editables: set[Path] = field(default_factory=set)
    settings: list[str] = field(default_factory=list)

    @property
    def paths(self) -> set[Path]:
        """All files and folders that must exist."""
        return {*self.files, *self.packages, *self.editables}


def read_lock(lock: Path, folder: Path) -> LockContents:
    """Read a lock file of a working directory, and its inputs.

    Paths in requirements files mean the same as in pip: included files are relative to the including one, projects to
    the working directory. Raises EnvironmentFailed that names a file that is missing, outside, or unreadable.
    """
    contents = LockContents()
    try:
        _follow_lock(lock, folder, contents)
    except _OTHER_FORM as error:
        raise EnvironmentFailed(
            f"{_shown(lock, folder)}, or a file that it includes, has a value of the wrong form: {error}."
        ) from error
    return contents


def _follow_lock(lock: Path, folder: Path, contents: LockContents) -> None:
    if lock.name == "uv.lock":
        _read(lock.parent / "pyproject.toml", lock, folder, contents)
        for package in _toml(lock, folder, contents).get("package", []):
            _add_source(package.get("source", {}), lock, folder, contents)
    elif lock.suffix == ".toml":
        for package in _toml(lock, folder, contents).get("packages", []):
            _add_pylock_package(package, lock, folder, contents)
    else:
        _read_requirements(lock, lock, folder, contents)
    if lock.name != "uv.lock":
        contents.settings = _uv_settings(folder)
        _follow_sources(lock, folder, contents)


def _read(path: Path, including: Path, folder: Path, contents: LockContents) -> bytes:
    try:
        contents.files[path] = path.read_bytes()
    except OSError as error:
        by = f", which {_shown(including, folder)} needs," if path != including else ""
        raise EnvironmentFailed(f"{_shown(path, folder)}{by} is not in the working directory.") from error
    return contents.files[path]


def _toml(path: Path, folder: Path, contents: LockContents) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path, path, folder, contents).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EnvironmentFailed(f"{_shown(path, folder)} cannot be read: {error}.") from error


def _read_requirements(path: Path, including: Path, folder: Path, contents: LockContents) -> None:
    if path in contents.files:
        return
    text = _read(path, including, folder, contents).decode(errors="replace")
    for line in _logical_lines(text.replace("file://${PWD}", "file:.").replace("${PWD}", ".")):
        if match := _INCLUDE.fullmatch(line):
            if "://" not in match["path"]:
                included = _located(match["path"].strip("'\""), path, folder, path.parent)
                _read_requirements(included, path, folder, contents)
        elif match := _EDITABLE.fullmatch(line):
            _add_local(match["path"], path, folder, folder, contents.editables)
        elif match := _FIND_LINKS.fullmatch(line):
            _add_local(match["path"], path, folder, folder, contents.packages)
        elif not line.startswith("-"):
            named = _NAMED.fullmatch(line)
            place = named["path"] if named else line
            if named or place.startswith((".", "/", "file:")) or _PACKAGE_FILE.search(_bare(place)):
                _add_local(place, path, folder, folder, contents.packages)


def _logical_lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        stripped = _COMMENT.sub("", line).strip()
        if stripped:
            yield stripped


def _add_source(source: dict[str, str], lock: Path, folder: Path, contents: LockContents) -> None:
    if "editable" in source:
        _add_local(source["editable"], lock, folder, lock.parent, contents.editables)
    for kind in ("directory", "path"):
        if kind in source:
            _add_local(source[kind], lock, folder, lock.parent, contents.packages)


def _add_pylock_package(package: dict[str, Any], lock: Path, folder: Path, contents: LockContents) -> None:
    directory = package.get("directory", {})
    if "path" in directory:
        found = contents.editables if directory.get("editable") else contents.packages
        _add_local(directory["path"], lock, folder, lock.parent, found)
    for one in (package.get("archive", {}), package.get("sdist", {}), *package.get("wheels", [])):
        if "path" in one:
            _add_local(one["path"], lock, folder, lock.parent, contents.packages)


def _add_local(text: str, including: Path, folder: Path, base: Path, found: set[Path]) -> None:
    """Add the file or folder that a requirement names, unless it is on another machine."""
    place = _bare(text)
    url = urlsplit(place)
    if url.scheme in ("", "file"):
        found.add(_located(unquote(url.path) if url.scheme else place, including, folder, base))


def _located(path: str, including: Path, folder: Path, base: Path) -> Path:
    """The target of a path. Raises EnvironmentFailed if a worker, which has only the folder, does not have it.

    Absolute paths outside the folder are considered paths on the worker's disks.
    """
    located = Path(os.path.normpath(base / path))
    if os.path.isabs(path) == located.is_relative_to(folder):
        cure = (
            f"Write ./{located.relative_to(folder)}"
            if os.path.isabs(path)
            else "Put it inside, or send a folder that has both by --workdir"
        )
        where = "an absolute path of this machine" if os.path.isabs(path) else "outside the working directory"
        raise EnvironmentFailed(
            f"{_shown(including, folder)} names {path}, {where}, which workers do not have. {cure}."
        )
    return located


def _follow_sources(lock: Path, folder: Path, contents: LockContents) -> None:
    """Add the local dependencies of the local projects that uv uses: paths, and members of a workspace."""
    seen: set[Path] = set()
    while waiting := {*contents.editables, *contents.packages} - seen:
        for project in waiting:
            table = _uv_table(project / "pyproject.toml")
            sources = [one for named in table.get("sources", {}).values() for one in _as_list(named)]
            for source in sources:
                if "path" in source:
                    found = contents.editables if source.get("editable") else contents.packages
                    _add_local(source["path"], lock, folder, project, found)
            if any(source.get("workspace") for source in sources):
                for pattern in table.get("workspace", {}).get("members", []):
                    contents.editables |= {path for path in project.glob(pattern) if path.is_dir()}
        seen |= waiting


def _as_list(named: Any) -> list[dict[str, Any]]:
    return [one for one in (named if isinstance(named, list) else [named]) if isinstance(one, dict)]


def _bare(text: str) -> str:
    """A path or URL without extras, markers, options and fragments."""
    place = re.split(r"\s+--|\s*;|\s+@", text.strip().strip("'\""))[0].partition("#")[0]
    return _EXTRAS.sub("", place.strip()).strip("'\"")


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _uv_settings(folder: Path) -> list[str]:
    """The files of the working directory that uv reads when it installs."""
    tables = (_table(folder / "uv.toml"), _uv_table(folder / "pyproject.toml"))
    return [json.dumps(table, sort_keys=True, default=str) for table in tables]


def _uv_table(pyproject: Path) -> dict[str, Any]:
    found: dict[str, Any] = _table(pyproject).get("tool", {}).get("uv", {})
    return found


def _table(path: Path) -> dict[str, Any]:
    """The contents of a TOML file; empty if it is missing or unreadable, which uv itself will report."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
