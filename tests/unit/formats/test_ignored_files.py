"""Which files of a directory are sent, by git's rules: parents, exclude files, tracked files, nested repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from headway.errors import InvalidInput
from headway.formats.ignored_files import find_files
from tests.no_root import without_root

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def write(folder: Path, *names: str, **ignore: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for name, lines in ignore.items():
        (folder / f".{name}").write_text(lines)
    return folder


def sent(folder: Path) -> list[str]:
    files, empty = find_files(folder)
    return sorted(
        [path.relative_to(folder).as_posix() for path in files if path.name != ".gitignore"]
        + [f"{path.relative_to(folder).as_posix()}/" for path in empty]
    )


def test_a_sub_directory_follows_its_repositorys_ignore_files(tmp_path: Path) -> None:
    """Given a repository that ignores *.bin, its sub-directory is sent without them, and with its empty folders."""
    write(tmp_path, ".git/HEAD", gitignore="*.bin\n/exp/rooted\n")
    write(tmp_path / ".git", "info/exclude")
    (tmp_path / ".git" / "info" / "exclude").write_text("private\n")
    exp = write(tmp_path / "exp", "t.py", "old.bin", "keep.bin", "rooted", "sub/rooted", "private", "sub/private")
    (exp / ".gitignore").write_text("!keep.bin\n")
    (exp / "logs" / "deep").mkdir(parents=True)
    (exp / "none").mkdir()
    (exp / "none" / "only.bin").write_text("x")
    assert sent(exp) == ["keep.bin", "logs/deep/", "none/", "sub/rooted", "t.py"]


def test_what_is_above_the_repository_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, gitignore="*.bin\n")
    assert sent(write(tmp_path / "plain", "a.bin")) == ["a.bin"]
    assert sent(write(tmp_path / "repository", ".git/HEAD", "a.bin")) == ["a.bin"]


def test_a_directory_that_is_itself_ignored_is_sent(tmp_path: Path) -> None:
    """For example, a repository of dotfiles in the home may ignore everything."""
    write(tmp_path, ".git/HEAD", gitignore="*\n!.bashrc\n")
    assert sent(write(tmp_path / "project", "train.py", "skip", gitignore="skip\n")) == ["train.py"]
    assert sent(write(tmp_path / "project" / "inner", "train.py")) == ["train.py"]


def test_headwayignore_decides_first_also_for_what_git_tracks(tmp_path: Path) -> None:
    write(tmp_path, "large", "wanted.bin", "sub/large", gitignore="*.bin\n", headwayignore="large\n!wanted.bin\n")
    (tmp_path / "sub" / ".gitignore").write_text("!large\n")
    assert sent(tmp_path) == [".headwayignore", "wanted.bin"]


@needs_git
def test_what_git_tracks_is_sent_though_it_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, "data/small.csv", "data/large.csv", "data/deep/tracked", "t.py", gitignore="data/\n*.csv\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "data/small.csv", "data/deep/tracked")
    assert sent(tmp_path) == ["data/deep/tracked", "data/small.csv", "t.py"]
    assert sent(tmp_path / "data") == ["deep/tracked", "large.csv", "small.csv"]


@needs_git
def test_worktrees_and_submodules_are_repositories(tmp_path: Path) -> None:
    """Given .git as a file, exclude files are found where they are; a nested repository has rules of its own."""
    main = write(tmp_path / "main", "t.py", gitignore="*.bin\n")
    git(main, "init", "-q")
    git(main, "add", ".")
    git(main, "commit", "-qm", "first")
    git(main, "worktree", "add", "-q", str(tmp_path / "tree"))
    (main / ".git" / "info" / "exclude").write_text("private\n")
    tree = write(tmp_path / "tree" / "exp", "a.bin", "private", "b.py")
    assert sent(tree) == ["b.py"]
    git(main, "submodule", "add", "-q", str(tmp_path / "tree"), "nested")
    write(main / "nested", "c.csv", "d.bin", gitignore="*.csv\n")
    assert sent(main) == [".gitmodules", "nested/d.bin", "nested/t.py", "t.py"]


def test_a_very_deep_tree_is_sent_and_one_beyond_all_paths_is_named(tmp_path: Path) -> None:
    nest(tmp_path, "d", 1_100)
    try:
        assert [path.name for path in find_files(tmp_path)[1]] == ["d"]
        nest(tmp_path, "e" * 200, 16)
        with pytest.raises(InvalidInput, match=r"has a name that is too long\. Name it in \.headwayignore"):
            find_files(tmp_path)
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d"), str(tmp_path / ("e" * 200))], check=True)


def nest(folder: Path, name: str, depth: int) -> None:
    """Make folders in each other, also where their path is longer than a system allows."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with (
        without_root(tmp_path),
        pytest.raises(InvalidInput, match=r"closed cannot be read: Permission denied\. Name it"),
    ):
        find_files(tmp_path)
