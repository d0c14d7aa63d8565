"""What lock files refer to: includes, constraints, local projects and packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import EnvironmentFailed
from headway.formats.lock_files import read_lock


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def names(paths: set[Path] | dict[Path, bytes], folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_includes_are_relative_to_their_file_and_projects_to_the_working_directory(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "requirements/dev.txt": "-r ../base.txt\n-c constraints/all.txt  # pinned\n-e .\n--editable=./lib[fast]\n",
            "base.txt": "--requirement=more.txt\nsix==1.16.0 \\\n  --hash=sha256:0\n-r base.txt\nattrs @ https://x.org/a.whl\n",
            "more.txt": "./wheels/a-1.whl ; python_version > '3'\nother @ file:./other\n--find-links links\n"
            "-r https://x.org/r.txt\ngit @ git+https://x.org/g\n/opt/wheels/torch.whl\n-e file:third#egg=third\n",
            "requirements/constraints/all.txt": "numpy<3\n",
        },
    )
    contents = read_lock(tmp_path / "requirements" / "dev.txt", tmp_path)
    assert names(contents.files, tmp_path) == [
        "base.txt", "more.txt", "requirements/constraints/all.txt", "requirements/dev.txt",
    ]  # fmt: skip
    assert names(contents.editables, tmp_path) == [".", "lib", "third"]
    own = {path for path in contents.packages if path.is_relative_to(tmp_path)}
    assert names(own, tmp_path) == ["links", "other", "wheels/a-1.whl"]
    assert contents.packages - own == {Path("/opt/wheels/torch.whl")}


def test_locks_of_uv_and_pylock_name_their_local_projects(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": "[project]\nname = 'mine'",
            "uv.lock": '[[package]]\nname = "mine"\nsource = { editable = "." }\n'
            '[[package]]\nname = "lib"\nsource = { directory = "lib" }\n'
            '[[package]]\nname = "root"\nsource = { virtual = "x" }\n'
            '[[package]]\nname = "six"\nsource = { registry = "https://pypi.org/simple" }\n',
            "pylock.toml": '[[packages]]\nname = "mine"\ndirectory = { path = ".", editable = true }\n'
            '[[packages]]\nname = "lib"\ndirectory = { path = "lib" }\n'
            '[[packages]]\nname = "six"\nwheels = [{ path = "six.whl" }, { url = "https://x.org/six.whl" }]\n',
        },
    )
    uv = read_lock(tmp_path / "uv.lock", tmp_path)
    assert (names(uv.files, tmp_path), names(uv.editables, tmp_path)) == (["pyproject.toml", "uv.lock"], ["."])
    assert names(uv.packages, tmp_path) == ["lib"]
    pylock = read_lock(tmp_path / "pylock.toml", tmp_path)
    assert (names(pylock.editables, tmp_path), names(pylock.packages, tmp_path)) == (["."], ["lib", "six.whl"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-r nope.txt", "nope.txt, which requirements.txt needs, is not in the working directory"),
        ("-r ../base.txt", "requirements.txt names ../base.txt, outside the working directory, which workers do not"),
        ("-e ../lib", "Put it inside, or send a folder that has both by --workdir"),
        ("lib @ file://{here}/lib", "lib, an absolute path of this machine, which workers do not have. Write ./lib."),
    ],
)
def test_what_workers_would_not_have_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "requirements.txt").write_text(text.format(here=tmp_path))
    with pytest.raises(EnvironmentFailed) as caught:
        read_lock(tmp_path / "requirements.txt", tmp_path)
    assert words in str(caught.value)


def test_uvs_settings_count_and_other_tools_do_not(tmp_path: Path) -> None:
    write(tmp_path, {"requirements.txt": "six", "pyproject.toml": "[tool.ruff]\nline-length = 1\n"})
    before = read_lock(tmp_path / "requirements.txt", tmp_path).settings
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 2\n")
    assert read_lock(tmp_path / "requirements.txt", tmp_path).settings == before
    (tmp_path / "pyproject.toml").write_text("[tool.uv]\nno-index = true\n")
    assert read_lock(tmp_path / "requirements.txt", tmp_path).settings != before


def test_local_projects_lead_to_those_that_they_depend_on(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "requirements.txt": "-e .\n",
            "pyproject.toml": "[tool.uv.sources]\na = { path = 'a' }\nb = [{ path = 'b', editable = true }]\n"
            "m = { workspace = true }\n[tool.uv.workspace]\nmembers = ['members/*']\n",
            "a/pyproject.toml": "[tool.uv.sources]\nc = { path = '../c' }\nroot = { path = '..' }\n",
            "members/m/pyproject.toml": "",
        },
    )
    contents = read_lock(tmp_path / "requirements.txt", tmp_path)
    assert names(contents.editables, tmp_path) == [".", "b", "members/m"]
    assert names(contents.packages, tmp_path) == [".", "a", "c"]


@pytest.mark.parametrize(
    ("name", "text", "pyproject"),
    [
        ("r.txt", "-e .\n", "[tool]\nuv = 3\n"),
        ("r.txt", "-e .\n", "[tool.uv]\nsources = 3\n"),
        ("r.txt", "-e .\n", "[tool.uv.sources]\na = {path = 3}\n"),
        ("r.txt", "-e .\n", "[tool.uv.sources]\na = {workspace = true}\n[tool.uv.workspace]\nmembers = ['/x/*']\n"),
        ("r.txt", "-e .\n", "[tool.uv.sources]\na = {workspace = true}\n[tool.uv.workspace]\nmembers = ['a**']\n"),
        ("r.txt", "-e file://[x\n", ""),
        ("r.txt", "-r ./a\0b\n", ""),
        ("pylock.toml", "packages = [3]\n", ""),
        ("uv.lock", "package = 3\n", ""),
    ],
)
def test_an_unreadable_lock_file_fails_the_environment(tmp_path: Path, name: str, text: str, pyproject: str) -> None:
    write(tmp_path, {"pyproject.toml": pyproject, name: text})
    with pytest.raises(EnvironmentFailed, match=f"{name}, or a file that it includes, has a value of the wrong form"):
        read_lock(tmp_path / name, tmp_path)
