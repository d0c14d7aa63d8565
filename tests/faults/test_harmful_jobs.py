"""A harmful job ends alone: its worker and the other jobs on it continue."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from headway.client import JobHandle
from tests.fleet import Fleet, ended, wait_until

COMMON = """
import headway, json, os, shutil, signal, sys, time
from pathlib import Path
run = headway.run()
folder = Path(os.environ["HEADWAY_RUN_FILE"]).parent
print("begun", flush=True)
"""
HARM = {
    "a record of three megabytes": "open(run.record_file, 'ab').write(b'[' + b'0,' * 1_500_000 + b'0]\\n')",
    "a record that never ends": "open(run.record_file, 'ab').write(b'x' * 5_000_000)",
    "a step of 70 bits": """open(run.record_file, 'a').write('{"step": %d, "at": 1, "values": {"a": 1}}\\n' % 2**70)""",
    "deep and odd records": r"""
records = ['[' * 200_000, '{"type": "result_stored", "result": ' + '{"a":' * 400 + '1' + '}' * 401,
           '{"type": "rank_error", "error": {"a": 1}}', '{"type": "rank_error", "error": "\\udce9"}',
           '{"type": "released"}', '{"type": "checkpoint_saved", "step": 99999999999999999999, "at": 1, '
           '"kind": "state", "replica": false}',
           '{"step": 1, "at": 1, "values": {"\\ud800": 1}}', '\x00']
open(run.record_file, 'a').write('\n'.join(records) + '\n')""",
    "its files are FIFOs": """
for path in folder.glob('rank-0.*'):
    path.unlink(); os.mkfifo(path)
os.mkfifo(run.output_directory / 'fifo')""",
    "its files are folders and links": """
for path in folder.glob('rank-0.*'):
    path.unlink(); path.mkdir() if path.suffix == '.log' else path.symlink_to('/dev/zero')
(run.output_directory / 'link').symlink_to('/etc/passwd')""",
    "its folder is gone": "shutil.rmtree(folder)",
    "its folder has no permissions": "os.chmod(run.output_directory, 0); os.chmod(folder, 0)",
    "a part that is a FIFO": """
path = folder / 'checkpoints' / '5' / 'rank-0'
path.parent.mkdir(parents=True); os.mkfifo(path)
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.run_records import CheckpointSaved
run.record(CheckpointSaved(5, 1.0, PartKind.STATE, False))""",
    "three thousand outputs": """
for number in range(3_000): (run.output_directory / str(number)).touch()""",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One worker, with one job that has to survive everything."""
    with Fleet(tmp_path_factory.mktemp("fleet"), exit_limit_seconds=2, stop_grace_seconds=1) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=3)
        fleet.wait_for_workers(1)
        yield fleet


@pytest.fixture(autouse=True, scope="module")
def neighbour(fleet: Fleet) -> Iterator[JobHandle]:
    job = fleet.script("import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.1)")
    wait_until(lambda: texts(job), "the neighbour's start")
    yield job
    job.refresh()
    assert (job.status, job.data["attempt"]["number"], job.data["retries_used"]) == ("running", 1, 0)
    assert fleet.processes["one"].poll() is None
    assert fleet.log("one").count("Registered as one") == 1
    assert "please report it" not in fleet.log("one")


def texts(job: JobHandle) -> list[str]:
    return [line["text"] for line in job.logs()]


@pytest.mark.parametrize("harm", HARM)
def test_files_of_a_rank_harm_no_other_job(fleet: Fleet, harm: str) -> None:
    """The script ran to its end, so the job succeeds. If something is lost, its log or a warning says so."""
    job = ended(fleet.script(COMMON + HARM[harm], retries=0))
    assert job.status == "succeeded", job.data["sentence"]


def test_values_that_cannot_be_stored_are_the_scripts_to_fix(fleet: Fleet) -> None:
    large = ended(fleet.script(COMMON + "run.finish(predictions=[0.123456789] * 100_000)"))
    assert (large.status, large.data["reason"], large.data["attempt"]["number"]) == ("failed", "script_raised", 1)
    assert "1,300,000 of them in predictions; 262,144 are allowed" in large.data["sentence"]
    step = ended(fleet.script(COMMON + "run.log(2**70, loss=1.0)"))
    assert (step.status, step.data["reason"]) == ("failed", "script_raised")
    assert "step is 1180591620717411303424: steps go up to 9,007,199,254,740,991" in step.data["sentence"]


def test_files_with_odd_names_are_kept(fleet: Fleet, tmp_path: Path) -> None:
    source = """
out = os.fsencode(run.output_directory)
open(out + b"/good.txt", "w").write("kept")
open(out + b"/r\\xe9sultat.txt", "w").write("latin-1 name")
open(b"r\\xe9s.csv", "w").write("in the working directory")
"""
    job = ended(fleet.script(COMMON + source, outputs=["*.csv"]))
    assert (job.status, job.data["attempt"]["number"]) == ("succeeded", 1), job.data["sentence"]
    names = {artifact["name"] for artifact in job.data["artifacts"]}
    assert names == {"good.txt", "r%E9sultat.txt", "r%E9s.csv"}
    assert any("2 file names have bytes that are not UTF-8" in warning for warning in job.data["warnings"])
    (path,) = job.download("r%E9sultat.txt", tmp_path)
    assert path.read_text() == "latin-1 name"


def test_a_process_that_does_not_end_is_killed_once_all_ranks_have_finished(fleet: Fleet) -> None:
    source = COMMON + "import atexit\nif run.rank == 1: atexit.register(time.sleep, 600)"
    job = ended(fleet.script(source, world_size=2))
    assert (job.status, job.data["attempt"]["number"]) == ("succeeded", 1), job.data["sentence"]
    (warning,) = [one for one in job.data["warnings"] if "did not end" in one]
    assert warning.startswith("The process of rank 1 did not end within 2 s after all ranks had finished")


def test_a_stopped_launcher_is_killed_with_all_its_processes(fleet: Fleet) -> None:
    """Given a launcher that a rank has stopped, when the time limit passes, the job ends and no process is left."""
    source = """
import subprocess
subprocess.Popen(["sleep", "8765432"], start_new_session=True)
os.kill(os.getppid(), signal.SIGSTOP)
time.sleep(600)
"""
    job = ended(fleet.script(COMMON + source, timeout_seconds=2, retries=0))
    assert (job.status, job.data["reason"]) == ("failed", "timed_out")
    assert [one.pid for one in psutil.process_iter() if "8765432" in _command_line(one)] == []


def test_a_stopped_launcher_is_noticed_once_its_ranks_are_gone(fleet: Fleet) -> None:
    job = ended(fleet.script(COMMON + "os.kill(os.getppid(), signal.SIGSTOP)", retries=0))
    assert job.status == "succeeded", job.data["sentence"]


def test_a_stopped_rank_ends_at_the_time_limit(fleet: Fleet) -> None:
    job = ended(fleet.script(COMMON + "os.kill(os.getpid(), signal.SIGSTOP)", timeout_seconds=2, retries=0))
    assert (job.status, job.data["reason"]) == ("failed", "timed_out")


def test_a_worker_with_a_stopped_launcher_ends_by_sigterm(tmp_path: Path) -> None:
    with Fleet(tmp_path, save_grace_seconds=1) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=1)
        fleet.wait_for_workers(1)
        job = fleet.script(COMMON + "os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(600)")
        wait_until(lambda: texts(job), "the first line")
        family = psutil.Process(fleet.processes["one"].pid).children(recursive=True)
        fleet.kill("one", signal.SIGTERM)
        began = time.monotonic()
        assert fleet.processes["one"].wait(60) == 0
        assert time.monotonic() - began < 40
        wait_until(lambda: not any(_lives(process) for process in family), "the end of all processes", seconds=30)
        assert job.refresh().data["attempt"]["reason"] == "worker_stopped"


SAVES = """
import headway, time
run = headway.run()
step = (run.restore() or {"step": 0})["step"]
print("begins behind", step, flush=True)
while step < 3_000:
    step += 1
    time.sleep(0.01)
    if run.rank == 0 and step % 10 == 0: run.log(step, loss=1.0)
    if run.should_save(step): run.save({"step": step}, step)
    if run.should_stop: raise SystemExit
    if run.attempt > 1: break
"""


def test_sigterm_to_all_processes_of_a_worker_saves_as_sigterm_to_it_alone(tmp_path: Path) -> None:
    """systemd, scancel and container runtimes send it to all processes; here the worker itself gets it last."""
    with Fleet(tmp_path) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=3)
        fleet.wait_for_workers(1)
        policy = {"every_seconds": None, "epoch_end": False}
        job = fleet.script(SAVES, checkpoints=policy)
        plain = fleet.script("import time\nprint('begun', flush=True)\ntime.sleep(600)", world_size=2)
        wait_until(lambda: job.metrics() and texts(plain), "the first metrics")
        worker = psutil.Process(fleet.processes["one"].pid)
        family = worker.children(recursive=True)
        for process in [*reversed(family), worker]:
            os.kill(process.pid, signal.SIGTERM)
        assert fleet.processes["one"].wait(60) == 0
        wait_until(lambda: not any(_lives(process) for process in family), "the end of all processes", seconds=30)
        for stopped in (job, plain):
            wait_until(partial(_queued, stopped), "the job's return to the queue", seconds=30)
            assert (stopped.data["attempt"]["reason"], stopped.data["retries_used"]) == ("worker_stopped", 0)
        plain.cancel()
        fleet.start_worker("two", slots=3)
        assert ended(job).status == "succeeded", job.data["sentence"]
        assert job.attempts()[1]["restored_step"] > 0


def _queued(job: JobHandle) -> bool:
    return job.refresh().status == "queued"


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
