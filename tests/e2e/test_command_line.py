"""The command line with a running fleet: its output, on which stream, and completion."""

from __future__ import annotations

import re

import pytest

from headway.client import JobHandle
from tests.fleet import Fleet, ended


def prints(fleet: Fleet, *arguments: str, **variables: str) -> str:
    ran = fleet.command(*arguments, **variables)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def job(shared_fleet: Fleet) -> JobHandle:
    source = """
import headway
for step in range(1, 6):
    print("line", step, flush=True)
    headway.run().log(step, loss=1 / step)
"""
    return ended(shared_fleet.script(source))


def test_logs_can_be_cut_and_timed(shared_fleet: Fleet, job: JobHandle) -> None:
    assert prints(shared_fleet, "logs", job.name, "--tail", "2") == "line 4\nline 5\n"
    assert prints(shared_fleet, "logs", job.name, "--since", "1h", "-n", "1") == "line 5\n"
    assert prints(shared_fleet, "logs", job.name, "--since", "2100-01-01") == ""
    assert prints(shared_fleet, "logs", job.name, "-f", "-n", "1") == "line 5\n"
    timed = prints(shared_fleet, "logs", job.name, "-t").splitlines()
    assert [line.split(" ", 2)[2] for line in timed] == [f"line {step}" for step in range(1, 6)]
    assert all(line[:4].isdigit() for line in timed)


def test_logs_of_a_rank_or_attempt_that_does_not_exist_are_an_error(shared_fleet: Fleet, job: JobHandle) -> None:
    attempt = shared_fleet.command("logs", job.name, "--attempt", "2")
    assert (attempt.returncode, "has no attempt 2. It has 1 attempt." in attempt.stderr) == (1, True)
    rank = shared_fleet.command("logs", job.name, "--rank", "1")
    assert (rank.returncode, "has no rank 1. It has 1 rank, numbered from 0." in rank.stderr) == (1, True)


def test_events_can_be_followed(shared_fleet: Fleet, job: JobHandle) -> None:
    assert prints(shared_fleet, "events", job.name, "--follow") == prints(shared_fleet, "events", job.name)
    assert "job.succeeded" in prints(shared_fleet, "events", job.name, "-f", "--json").splitlines()[-1]


def test_the_error_for_an_unknown_metric_names_the_known_ones(shared_fleet: Fleet, job: JobHandle) -> None:
    ran = shared_fleet.command("metrics", job.name, "--name", "lsos", "--name", "loss")
    assert ran.returncode == 1
    assert f"Job {job.name} has no metric lsos. It has: loss." in ran.stderr
    heading, row = prints(shared_fleet, "metrics", job.name, "--name", "loss").splitlines()
    assert heading.split() == ["METRIC", "RANK", "POINTS", "STEP", "LAST", "MIN", "MAX"]
    assert row.split() == ["loss", "0", "5", "5", "0.2", "0.2", "1"]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("headway show NAME", ""),
        ("headway workers drain on", "one"),
        ("headway train cn", "cnn"),
        ("headway trainers ml", "mlp"),
    ],
)
def test_names_are_completed(shared_fleet: Fleet, job: JobHandle, words: str, completed: str) -> None:
    variables = {
        "_HEADWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": words.replace("NAME", job.name[:-1]),
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    assert f"plain,{completed or job.name}" in prints(shared_fleet, **variables).splitlines()


def test_completion_says_nothing_without_a_server(shared_fleet: Fleet) -> None:
    variables = {"_HEADWAY_COMPLETE": "bash_complete", "COMP_WORDS": "headway show x", "COMP_CWORD": "2"}
    assert shared_fleet.command(**variables, HEADWAY_SERVER_URL="http://127.0.0.1:9").stderr == ""


def test_colours_are_as_the_variables_say(shared_fleet: Fleet, job: JobHandle) -> None:
    assert "\x1b[" not in prints(shared_fleet, "jobs")
    assert "\x1b[" in prints(shared_fleet, "jobs", FORCE_COLOR="1")
    assert "\x1b[" not in prints(shared_fleet, "jobs", FORCE_COLOR="1", NO_COLOR="1")


def test_the_run_time_does_not_include_the_queue(shared_fleet: Fleet, job: JobHandle) -> None:
    heading, *rows = prints(shared_fleet, "jobs", "--name", job.name).splitlines()
    assert heading.split() == ["NAME", "STATUS", "RANKS", "WORK", "PROGRESS", "RAN", "SUBMITTED"]
    assert len(rows) == 1
    assert re.search(r"Time +ran [\d.]+ m?s, queued [\d.]+ m?s", prints(shared_fleet, "show", job.name))
    assert "No matching jobs." in prints(shared_fleet, "jobs", "--name", "no-such-job")


def test_a_failure_leads_to_the_fixed_code(shared_fleet: Fleet) -> None:
    """Given a script that fails, when it is fixed and the printed command is run, then the fixed script runs."""
    script = shared_fleet.desk / "to_fix.py"
    script.write_text("import sys; sys.exit('not yet right')")
    failed = shared_fleet.command("run", "to_fix.py", "--env", "WORD=fixed", "--", "--speed", "1")
    assert failed.returncode == 1
    again = "headway run to_fix.py --env WORD=fixed -- --speed 1"
    assert f"After the fix: {again}\n" in failed.stdout
    name = failed.stdout.split()[1]
    assert f"headway rerun {name} --fresh" in failed.stdout
    script.write_text("import os, sys; print(os.environ['WORD'], sys.argv[1:])")
    assert "fixed ['--speed', '1']" in prints(shared_fleet, *again.split()[1:])
    assert "fixed ['--speed', '1']" in prints(shared_fleet, "rerun", name, "--fresh")


def test_a_rerun_says_which_files_it_runs(shared_fleet: Fleet) -> None:
    script = shared_fleet.desk / "changed.py"
    script.write_text("print('before')")
    first = prints(shared_fleet, "run", "changed.py", "--name", "changes")
    assert "before" in first
    script.write_text("print('after')")
    ran = shared_fleet.command("rerun", "changes", "--name", "changes-not")
    assert "before" in ran.stdout
    assert "The files are those that job" in ran.stderr
    assert "--fresh sends this directory." in ran.stderr
    script.unlink()
    refused = shared_fleet.command("rerun", "changes", "--fresh")
    assert refused.returncode != 0
    assert "changed.py" in refused.stderr
