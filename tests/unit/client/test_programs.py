"""The program of a job is found, or refused with the command that was probably meant."""

from __future__ import annotations

import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headway.cli.rerun import rerun
from headway.cli.train import run
from headway.client.programs import check_command, check_module, check_script
from headway.core.job import JobSpec
from headway.errors import InvalidInput, NotFound
from headway.training.rank import _start_hint


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "train.py": "",
        "train.sh": "#!/bin/sh\n",
        "plain.sh": "echo hello\n",
        "windows.sh": "#!/bin/sh\r\necho hello\r\n",
        "guarded.sh": "#!/bin/sh\n",
        "job.yaml": "script: train.py\n",
        "explore.ipynb": "{}",
        "pkg/__init__.py": "",
        "pkg/train.py": "",
        "tool/__init__.py": "",
        "tool/__main__.py": "",
        "src/inner/__init__.py": "",
        "src/inner/evaluate.py": "",
        "my dir/extra.py": "",
        "my dir/main.py": "",
        "my.dir/notes.txt": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
        (tmp_path / name).chmod(0o755 if name in ("train.sh", "plain.sh", "windows.sh") else 0o644)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train.sh", "--lr", "0.1 x"], r"a name without / .* Write: headway run ./train.sh -- --lr '0.1 x'$"),
        (["./trian.sh"], r"./trian.sh does not exist .* Did you mean train.sh\?"),
        (["trian.sh"], r"There is no program trian.sh. Did you mean train.sh\?"),
        (["./plain.sh", "-x"], r"does not begin with a line such as #!/bin/sh.* headway run -- bash ./plain.sh -x$"),
        (["plain.sh"], "headway run -- bash plain.sh$"),
        (["./guarded.sh"], "guarded.sh is not executable: chmod \\+x .*/guarded.sh$"),
        (["./windows.sh"], "The lines of ./windows.sh end as on Windows"),
        (["./pkg"], "./pkg is a folder, not a program. Name a script in it, such as: headway run pkg/train.py$"),
        (["pkg"], "pkg is a folder, not a program. Name a script in it, such as: headway run pkg/train.py$"),
        (["inner"], "src/inner is a folder, .* such as: headway run src/inner/evaluate.py$"),
        (["my dir", "--fast"], "my dir is a folder, .* headway run 'my dir/main.py' -- --fast$"),
        (["my.dir"], "my.dir is a folder, not a program. Name a program in it.$"),
        (["."], r"\. is a folder, .* such as: headway run train.py$"),
        ([".."], r"\.\. is a folder, not a program"),
        (["tool"], "tool is a module. Write: headway run -m tool$"),
        (["train", "--fast"], "Did you mean: headway run train.py -- --fast$"),
        (["job.yaml"], "If it is a job file: headway submit job.yaml"),
        (["explore.ipynb"], "is a notebook. Convert it"),
        (["pkg.train"], "pkg.train is a module. Write: headway run -m pkg.train$"),
        (["inner.evaluate"], "inner.evaluate is a module. Write: headway run -m inner.evaluate$"),
    ],
)
def test_a_program_that_cannot_start_is_refused_with_what_was_meant(
    project: Path, command: list[str], words: str
) -> None:
    with pytest.raises((InvalidInput, NotFound), match=words):
        check_command(command, project)


@pytest.mark.parametrize("command", [["./train.sh"], ["sh", "plain.sh"], ["/opt/x/tool"], ["only-on-the-workers"]])
def test_other_programs_pass(project: Path, command: list[str]) -> None:
    check_command(command, project)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("pkg/train.py", "is a path; -m takes a module's name: headway run -m pkg.train$"),
        ("./src/inner/evaluate.py", "headway run -m inner.evaluate$"),
        ("pkg.trian", "Module pkg.trian is not in .*. Did you mean: headway run -m pkg.train$"),
        ("pgk.train", "Module pgk.train is not in .*. Did you mean: headway run -m pkg.train$"),
        ("inner.evalute", "Did you mean: headway run -m inner.evaluate$"),
        ("pkg", "pkg is a package without a __main__.py, so .* Name a module in it, such as pkg.train.$"),
        ("my dir", "'my dir' is not the name of a module; .* my dir is a folder, .* headway run 'my dir/main.py'$"),
        ("my dir.main", "'my dir.main' is not the name of a module; -m takes one such as package.train.$"),
    ],
)
def test_a_module_that_is_not_there_is_refused_with_what_was_meant(project: Path, module: str, words: str) -> None:
    with pytest.raises((InvalidInput, NotFound), match=words):
        check_module(module, project)


@pytest.mark.parametrize("module", ["pkg.train", "train", "tool", "tool.__main__", "inner.evaluate", "json.tool"])
def test_modules_of_the_directory_of_src_and_installed_ones_pass(project: Path, module: str) -> None:
    check_module(module, project)


def test_a_misspelt_script_names_the_nearest_file(project: Path) -> None:
    with pytest.raises(NotFound, match=r"Script trian.py does not exist. Did you mean train.py\?"):
        check_script(project / "trian.py", project)
    with pytest.raises(NotFound, match=r"Script evaluate.py does not exist."):
        check_script(project / "evaluate.py", project)


@pytest.mark.parametrize("module", ["pkg/train", "pkg..train", ".train", "pkg.train ", "a\nb", ""])
def test_a_wrong_module_name_is_refused_in_a_spec(module: str) -> None:
    with pytest.raises(ValueError, match="module is"):
        JobSpec(module=module)


def test_a_module_is_one_kind_of_work_and_names_its_job() -> None:
    assert JobSpec(module="pkg.train", arguments=("--lr", "0.1")).title == "train"
    assert JobSpec(module="pkg.__main__").title == "pkg"
    with pytest.raises(ValueError, match="give one of trainer, script, module and command"):
        JobSpec(module="pkg.train", script="train.py", source="")
    with pytest.raises(ValueError, match="source belongs to scripts"):
        JobSpec(module="pkg.train", source="")


@pytest.mark.parametrize(("command", "shown"), [(run, "headway run ... -- --lr"), (rerun, "headway rerun ... -- --lr")])
def test_arguments_of_a_program_in_the_wrong_place_are_explained(command: click.Command, shown: str) -> None:
    ran = CliRunner().invoke(command, ["train.py", "--lr", "0.1"])
    assert ran.exit_code == 2
    assert f"Arguments of your own program come after --, as in: {shown}" in ran.output


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        (
            "plain.sh",
            errno.ENOEXEC,
            "Add a first line such as #!/bin/sh, or name its interpreter: bash plain.sh",
        ),
        ("train.sh", errno.ENOENT, "It is a file of the working directory: ./train.sh"),
        ("./train.sh", errno.ENOENT, "The interpreter in its first line does not exist."),
        ("nope.sh", errno.ENOENT, "It is neither on the worker's PATH nor a file of the working directory."),
        ("./nope.sh", errno.ENOENT, ""),
    ],
)
def test_a_rank_that_cannot_start_a_program_says_why(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, words: str
) -> None:
    monkeypatch.chdir(project)
    assert _start_hint(name, OSError(number, "")).strip() == words


@pytest.mark.parametrize("command", [[], [""]])
def test_an_empty_command_is_refused(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="The command is empty"):
        check_command(command, tmp_path)


@pytest.mark.parametrize("name", ["**", "a[", "?"])
def test_a_name_that_looks_like_a_pattern_is_a_name(name: str, project: Path) -> None:
    check_command([name], project)
    check_module(name, project)
    with pytest.raises(NotFound, match="does not exist"):
        check_command([f"./{name}"], project)


@pytest.mark.parametrize("name", ["", "..", ".train", "pkg."])
def test_a_module_without_a_name_is_refused(name: str, project: Path) -> None:
    with pytest.raises(InvalidInput, match="is not the name of a module"):
        check_module(name, project)
