"""Ranks whose environment has another Headway than their worker."""

from __future__ import annotations

import shutil
import venv
from pathlib import Path

import headway
from headway.client import JobHandle
from headway.rank_protocol.version import RANK_PROTOCOL
from headway.worker.editables import packages_of
from tests.fleet import Fleet, ended

SOURCE = "import headway\nprint('recorded', headway.run().rank)\n"
OTHER_RELEASE = "9.9.9"
OTHER_PROTOCOL = 999


def other_headway(folder: Path, protocol: int) -> Path:
    """A folder with a Headway of another release, from which it can be imported."""
    package = folder / "headway"
    shutil.copytree(Path(headway.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "data"))
    replace(package / "__init__.py", f'__version__ = "{headway.__version__}"', f'__version__ = "{OTHER_RELEASE}"')
    version = package / "rank_protocol" / "version.py"
    replace(version, f"RANK_PROTOCOL = {RANK_PROTOCOL}", f"RANK_PROTOCOL = {protocol}")
    return folder


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def environment_of(folder: Path) -> Path:
    """A virtual environment without any packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


def assert_refused(job: JobHandle, who: str, package: Path) -> None:
    """The environment is the cause, and the sentence has both versions and a remedy."""
    assert (job.status, job.data["reason"], job.data["blame"]) == ("failed", "environment_failed", "user")
    assert job.data["sentence"].startswith(
        f"The job's environment cannot be used: {who} has Headway {OTHER_RELEASE} in {package / 'headway'}, with "
        f"version {OTHER_PROTOCOL} of the rank protocol; the worker's Headway {headway.__version__} has "
        f"version {RANK_PROTOCOL}. Install headway=={headway.__version__} there"
    ), job.data["sentence"]


def test_an_interpreter_that_finds_another_headway_first_is_refused(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given an environment whose packages put another Headway before the worker's, then no rank starts in it."""
    other = other_headway(tmp_path / "other", OTHER_PROTOCOL)
    own = environment_of(tmp_path / "own")
    (packages_of(own) / "other.pth").write_text(f"import sys; sys.path.insert(0, {str(other)!r})\n")
    python = own / "bin" / "python"
    job = ended(shared_fleet.script(SOURCE, environment={"python": str(python)}))
    assert_refused(job, str(python), other)
    assert job.data["sentence"].endswith("or take Headway out of the environment: the worker brings its own.")


def test_another_release_with_the_same_protocol_works(shared_fleet: Fleet, tmp_path: Path) -> None:
    other = other_headway(tmp_path / "other", RANK_PROTOCOL)
    own = environment_of(tmp_path / "own")
    (packages_of(own) / "other.pth").write_text(f"import sys; sys.path.insert(0, {str(other)!r})\n")
    source = f"{SOURCE}print(headway.__version__)\n"
    job = ended(shared_fleet.script(source, environment={"python": str(own / "bin" / "python")}))
    assert (job.status, job.data["cold"]) == ("succeeded", None), job.data["sentence"]


def test_a_command_whose_environment_has_another_headway_fails_with_a_remedy(
    shared_fleet: Fleet, tmp_path: Path
) -> None:
    """Given a command with its own interpreter, when its script records, then the failure names both versions."""
    own = environment_of(tmp_path / "own")
    packages = other_headway(packages_of(own), OTHER_PROTOCOL)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "train.py").write_text(SOURCE)
    command = [str(own / "bin" / "python"), "-E", "train.py"]  # -E: a PYTHONPATH of the tests does not count
    with shared_fleet.client() as client:
        job = ended(client.run_command(command, workdir=tmp_path / "work"))
    assert_refused(job, "the process of rank 0", packages)


def test_an_import_folder_with_another_headway_fails_with_a_remedy(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a job whose PYTHONPATH has another Headway, then its rank, which starts cold for that, says so."""
    other = other_headway(tmp_path / "other", OTHER_PROTOCOL)
    job = ended(shared_fleet.script(SOURCE, variables={"PYTHONPATH": str(other)}))
    assert_refused(job, "the process of rank 0", other)
