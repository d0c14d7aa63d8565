"""A job's failure has an exception's own type and message."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from headway.client.functions import call_files
from headway.rank_protocol.paths import CALL_SCRIPT
from headway.training import rank
from headway.training.rank import _guarded
from headway.training.run import Run


def noted() -> None:
    error = ValueError("the batch is empty")
    error.add_note("Look at the loader.")
    raise error


def grouped() -> None:
    error = RuntimeError("no disk")
    error.add_note("a note")
    raise ExceptionGroup("two failed", [error, ExceptionGroup("inner", [KeyError("x")])])


def bad_syntax() -> None:
    compile("x = 1\ny = (", "model.py", "exec")


def several_lines() -> None:
    raise ValueError("first\nsecond")


ERRORS = [
    (noted, "ValueError: the batch is empty"),
    (
        grouped,
        "ExceptionGroup: two failed (2 sub-exceptions): RuntimeError: no disk; ExceptionGroup: inner (1 sub-exception)",
    ),
    (bad_syntax, "SyntaxError: '(' was never closed (model.py, line 2)"),
    (several_lines, "ValueError: first\nsecond"),
]


@pytest.mark.parametrize(("work", "summary"), ERRORS, ids=lambda one: getattr(one, "__name__", ""))
def test_an_exception_is_named_by_its_type_and_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], work: object, summary: str
) -> None:
    run = Run({"HEADWAY_RUN_FILE": str(tmp_path / "rank-0.run")})
    assert _guarded(work, run) == 1  # type: ignore[arg-type]
    record = json.loads((tmp_path / "rank-0.run").read_text())
    assert record["error"] == summary
    assert record["traceback"] in capsys.readouterr().err


def test_a_traceback_has_the_paths_that_the_user_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a script in the working directory, which it leaves before it fails, then its path is relative."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "pkg" / "train.py"
    script.parent.mkdir()
    script.write_text("import os\nos.chdir('/')\n1 / 0\n")
    assert _guarded(lambda: exec(compile(script.read_text(), str(script), "exec")), Run({})) == 1  # noqa: S102
    assert 'File "pkg/train.py", line 3' in capsys.readouterr().err


def test_a_traceback_of_a_function_begins_in_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given a function that a client sent, then no line of its traceback is of the code that calls it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, content in call_files(noted, (), {}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert _guarded(lambda: runpy.run_path(str(tmp_path / CALL_SCRIPT)), Run({})) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "test_rank_errors.py" in lines[1]


@pytest.mark.parametrize("code", [0, 3])
def test_a_signal_after_the_script_does_not_change_its_exit_status(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a script that has exited, when one of its signal handlers raises, then the script's own status counts."""

    def interrupted(_run: Run) -> None:
        raise SystemExit(9)

    monkeypatch.setattr(rank, "_mark_meeting", interrupted)
    assert _guarded(lambda: sys.exit(code), Run({})) == code
