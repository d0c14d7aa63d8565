"""The software of a job: lock files, and a user's own interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway.client import Client, JobHandle
from headway.errors import InvalidInput
from tests.e2e.own_work import series, texts, write
from tests.fleet import Fleet, ended


def test_a_lock_files_environment_is_built_once_and_warm_after_that(
    shared_fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    write(
        tmp_path,
        train_py="import six, sys\nprint(six.__version__, sys.prefix)\nimport headway\nheadway.run().log(1, a=2)",
    )
    write(tmp_path, requirements_txt="six==1.16.0  # for this test only\n")
    spec = {"environment": {"lock": "requirements.txt"}}
    first = client.run_script(tmp_path / "train.py", workdir=tmp_path, **spec).wait()
    second = client.run_script(tmp_path / "train.py", workdir=tmp_path, **spec).wait()
    assert "Building the environment of requirements.txt" in texts(first, -1)[0]
    assert any("six==1.16.0" in text for text in texts(first, -1))
    assert texts(second, -1) == []
    (line,) = texts(second)
    assert line.startswith("1.16.0 ")
    assert "/environments/" in line
    assert series(second)["a"]["values"] == [2.0]


def test_included_files_and_projects_of_the_working_directory_are_those_of_the_job(
    shared_fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    """Given `-r` and `-e .`, when either changes, then the next job has the change; both use the cached environment."""
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    write(
        tmp_path,
        src__mine__train_py="import six, sys, mine, os; from .w import W\nprint(six.__version__, W, mine.__file__)\n"
        "import subprocess; subprocess.run([sys.executable, '-c', 'import mine.w; print(mine.w.W)'], cwd='/')\n"
        "print(sorted(os.listdir('src')))",
        requirements_txt="-r more/base.txt\n-e .\n",
    )
    (tmp_path / "src" / "mine" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "mine"\nversion = "1"\n{build}')
    spec = {"workdir": tmp_path, "environment": {"lock": "requirements.txt"}}

    def run(six: str, value: str, **more: Any) -> JobHandle:
        write(tmp_path, more__base_txt=f"six=={six}\n", src__mine__w_py=f"W = {value!r}")
        job = ended(client.run_module("mine.train", **spec, **more))
        first, *rest = texts(job, 0)
        assert rest == [value, "['mine']"], (job.data["sentence"], texts(job))
        assert first.startswith(f"{six} {value} ")
        assert f"/{job.id}/" in first  # its own copy
        return job

    assert "Building the environment" in "".join(texts(run("1.16.0", "one"), -1))
    assert "six==1.17.0" in "".join(texts(run("1.17.0", "two"), -1))
    cold = run("1.17.0", "three", variables={"PYTHONHASHSEED": "0"})
    assert texts(cold, -1) == []
    (tmp_path / ".gitignore").write_text("more/\n")
    with pytest.raises(InvalidInput, match=r"requirements.txt needs more/base.txt, which an ignore file excludes"):
        run("1.17.0", "four")


@pytest.mark.parametrize("kind", ["pylock.toml", "uv.lock"])
def test_other_lock_files(shared_fleet: Fleet, client: Client, tmp_path: Path, kind: str) -> None:
    import subprocess

    from uv import find_uv_bin

    project = '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["six==1.16.0"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    write(tmp_path, train_py="import six; print(six.__version__)")
    uv = find_uv_bin()
    commands = {
        "uv.lock": [uv, "lock", "--quiet"],
        "pylock.toml": [uv, "pip", "compile", "--quiet", "pyproject.toml", "-o", "pylock.toml"],
    }
    subprocess.run(commands[kind], cwd=tmp_path, check=True)
    job = ended(client.run_script(tmp_path / "train.py", workdir=tmp_path, environment={"lock": kind}))
    assert texts(job, 0) == ["1.16.0"], (job.data["sentence"], texts(job))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"lock": "requirements.txt"}, "no-such-package-anywhere"),
        ({"lock": "other.txt"}, "other.txt is not in the working directory"),
        ({"python": "/nope/python"}, "/nope/python is not the path of a Python interpreter on this worker"),
        ({"python": "/bin/true"}, "/bin/true is not a Python interpreter"),
    ],
)
def test_an_environment_that_cannot_be_built_is_the_users_to_fix(
    shared_fleet: Fleet, client: Client, tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    write(tmp_path, train_py="", requirements_txt="no-such-package-anywhere==1.0\n")
    spec = client.script_spec(tmp_path / "train.py", workdir=tmp_path)
    job = ended(client.submit({**spec, "environment": environment}))
    assert (job.status, job.data["reason"], job.data["blame"]) == ("failed", "environment_failed", "user")
    assert words in job.data["sentence"]


def test_an_interpreter_of_ones_own(shared_fleet: Fleet, tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "own", with_pip=False, symlinks=True)
    python = str(tmp_path / "own" / "bin" / "python")
    source = "import sys, os; print(sys.prefix, os.environ['VIRTUAL_ENV'])"
    job = ended(shared_fleet.script(source, environment={"python": python}, world_size=2))
    assert texts(job) == [f"{tmp_path}/own {tmp_path}/own"] * 2
    assert job.data["cold"] is None
