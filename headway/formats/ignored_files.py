"""Which files of a directory are uploaded: all except those that .headwayignore names or git ignores."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pathspec

from headway.errors import InvalidInput

_GIT_FILE, _OWN_FILE = ".gitignore", ".headwayignore"
_ALWAYS_IGNORED = frozenset({".git", ".hg", ".svn", "__pycache__", ".DS_Store", ".ipynb_checkpoints"})
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
_GIT_SECONDS = 30.0
_MAXIMUM_NAME_BYTES = 3_000
"""The longest path that is uploaded: the worker's folder comes before it and needs space in the path, too."""

_Patterns = tuple[tuple[Path, pathspec.GitIgnoreSpec], ...]
"""Patterns with the folder that they are relative to. Later ones take precedence."""


@dataclass(frozen=True)
class _Rules:
    """The rules of a folder. `tracked`: files that git tracks; `tracked_folders`: folders with such files.

    `only_tracked`: the folder is ignored, so only its tracked files are uploaded.
    """

    git: _Patterns = ()
    own: _Patterns = ()
    tracked: frozenset[str] = frozenset()
    tracked_folders: frozenset[str] = frozenset()
    only_tracked: bool = False

    def ignored(self, path: Path, *, is_folder: bool) -> bool:
        """Whether .headwayignore or, if that says nothing, git ignores the path."""
        own = _decided(path, is_folder, self.own)
        if own is not None:
            return own
        if str(path) in self.tracked:
            return False
        return self.only_tracked or bool(_decided(path, is_folder, self.git))


def find_files(directory: Path) -> tuple[list[Path], list[Path]]:
    """The files and links below a directory that are uploaded, and the empty folders that are uploaded.

    Raises InvalidInput for a folder that cannot be read, and for a name that is too long.
    """
    root = directory.resolve()
    files: list[Path] = []
    folders: list[Path] = []
    waiting = [(root, _outer_rules(root))]
    while waiting:
        folder, rules = waiting.pop()
        rules = _inner_rules(folder, rules, root)
        if folder != root and not rules.only_tracked:
            folders.append(folder)
        for path, is_folder in _entries(folder, root):
            if not is_folder:
                if not rules.ignored(path, is_folder=False):
                    files.append(path)
            elif not rules.ignored(path, is_folder=True):
                waiting.append((path, rules))
            elif str(path) in rules.tracked_folders and _decided(path, True, rules.own) is not True:
                waiting.append((path, replace(rules, only_tracked=True)))
    files.sort()
    empty = _without_files(folders, files, root)
    return [directory / path.relative_to(root) for path in files], [
        directory / path.relative_to(root) for path in empty
    ]


def _entries(folder: Path, root: Path) -> list[tuple[Path, bool]]:
    """The entries of a folder that may be uploaded, and whether each is a folder."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                path = Path(entry.path)
                if len(os.fsencode(path.relative_to(root))) > _MAXIMUM_NAME_BYTES:
                    raise InvalidInput(f"{str(path)[:200]}... has a name that is too long. Name it in {_OWN_FILE}.")
                environment = (is_folder or entry.is_symlink()) and os.path.exists(path / _VIRTUAL_ENVIRONMENT)
                if entry.name not in _ALWAYS_IGNORED and not environment:
                    found.append((path, is_folder))
    except FileNotFoundError:
        return []  # it went away meanwhile
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be read: {error.strerror or error}. Name it in {_OWN_FILE}.") from error
    return sorted(found)


def _without_files(folders: list[Path], files: list[Path], root: Path) -> list[Path]:
    """The folders that would be missing after unpacking, because they contain no file or folder."""
    made = {root}

    def note(path: Path) -> None:
        while path not in made:
            made.add(path)
            path = path.parent

    for file in files:
        note(file.parent)
    empty = []
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        if folder not in made:
            empty.append(folder)
            note(folder)
    return sorted(empty)


def _outer_rules(root: Path) -> _Rules:
    """The rules of the folders above, up to the root of the repository.

    If they ignore the directory itself, they do not count: a user who uploads it wants its contents.
    """
    repository = next((one for one in (root, *root.parents) if os.path.exists(one / ".git")), None)
    if repository is None:
        return _Rules()
    rules = _repository_rules(repository, root)
    if repository == root:
        return rules
    above = [folder for folder in reversed(root.parents) if folder.is_relative_to(repository)]
    for folder in above:
        rules = _with_files_of(folder, rules)
    for path in (*above[1:], root):
        if rules.ignored(path, is_folder=True):
            return replace(rules, git=(), own=())
    return rules


def _inner_rules(folder: Path, rules: _Rules, root: Path) -> _Rules:
    """The rules of a subfolder, with its own ignore files. A nested repository has only its own git rules."""
    if folder != root and os.path.exists(folder / ".git"):
        rules = replace(_repository_rules(folder, folder), own=rules.own)
    return _with_files_of(folder, rules)


def _with_files_of(folder: Path, rules: _Rules) -> _Rules:
    git, own = _patterns(folder, folder / _GIT_FILE), _patterns(folder, folder / _OWN_FILE)
    return replace(rules, git=(*rules.git, *git), own=(*rules.own, *own)) if git or own else rules


def _repository_rules(repository: Path, directory: Path) -> _Rules:
    """The git rules of a repository: .git/info/exclude, and the tracked files below `directory`."""
    metadata = _metadata_folder(repository / ".git")
    exclude = _patterns(repository, metadata / "info" / "exclude") if metadata else ()
    tracked = _tracked_files(directory)
    folders = {str(parent) for name in tracked for parent in Path(name).parents}
    return _Rules(git=exclude, tracked=tracked, tracked_folders=frozenset(folders))


def _metadata_folder(git: Path) -> Path | None:
    """The git folder of a repository. In a worktree or submodule, .git is a file that names it."""
    try:
        if git.is_file():
            git = git.parent / git.read_text().removeprefix("gitdir:").strip()
        common = git / "commondir"
        return git / common.read_text().strip() if common.is_file() else git
    except (OSError, UnicodeDecodeError):
        return None


def _tracked_files(directory: Path) -> frozenset[str]:
    """The files below a directory that git tracks. Tracked files are never ignored. Empty if git is not installed."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(directory), "ls-files", "-z", "--cached", "--", "."]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    names = answer.stdout.split(b"\0") if answer.returncode == 0 else []
    return frozenset(str(directory / os.fsdecode(name)) for name in names if name)


def _patterns(folder: Path, file: Path) -> _Patterns:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return ((folder, pathspec.GitIgnoreSpec.from_lines(lines)),) if lines else ()


def _decided(path: Path, is_folder: bool, patterns: _Patterns) -> bool | None:
    """Whether to ignore the path. The innermost ignore file with a matching pattern decides."""
    for base, spec in reversed(patterns):
        name = path.relative_to(base).as_posix() + ("/" if is_folder else "")
        decided = spec.check_file(name).include
        if decided is not None:
            return bool(decided)
    return None
