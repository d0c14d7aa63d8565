"""A user's own scripts, modules and commands, unmodified."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from headway.client import Client
from headway.errors import InvalidInput, NotFound
from tests.e2e.own_work import EXAMPLES, series, texts, write
from tests.fleet import Fleet, ended, wait_until


def test_a_script_finds_its_modules_arguments_and_parameters(
    shared_fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    write(
        tmp_path,
        src__train_py="import sys, os, lib.names, side\nprint(lib.names.NAME, side.NAME, sys.argv[1:], os.getcwd())\n"
        "print(os.environ['BATCH_SIZE'], os.environ['MINE'], open('config.txt').read())",
        src__side_py="NAME = 'beside the script'",
        lib__names_py="NAME = 'from the working directory'",
        config_txt="settings",
    )
    variables = {"MINE": "of this job", "PYTHONPATH": "."}
    job = client.run_script(
        tmp_path / "src" / "train.py", ["--steps", "3"], workdir=tmp_path, parameters={"batch_size": 8},
        variables=variables,
    ).wait()  # fmt: skip
    first, second = texts(job)
    assert first.startswith("from the working directory beside the script ['--steps', '3'] ")
    assert first.endswith("/work")
    assert second == "8 of this job settings"
    assert job.data["cold"] is None


def test_a_module_of_a_package_runs_warm_as_python_m_runs_it(shared_fleet: Fleet, client: Client) -> None:
    """Given a package in src with relative imports, when it is run by -m, then it works, even in a child's pickles."""
    folder = shared_fleet.desk / "packaged"
    write(
        folder,
        src__pkg__parts_py="N = 1",
        src__pkg__train_py="""
import multiprocessing, os, pickle, sys
from .parts import N
import vendored
class Mine: pass
def child(one): print("child", type(one).__module__, flush=True)
if __name__ == "__main__":
    assert type(pickle.loads(pickle.dumps(Mine()))) is Mine
    here = sys.path[0] == os.getcwd()
    print(N, vendored.V, __package__, os.path.relpath(sys.argv[0]), sys.argv[1:], here, flush=True)
    process = multiprocessing.get_context("spawn").Process(target=child, args=(Mine(),))
    process.start(); process.join(); raise SystemExit(process.exitcode)
""",
        lib__vendored_py="V = 2",
    )
    (folder / "src" / "pkg" / "__init__.py").touch()
    ran = shared_fleet.command(
        "run", "--workdir", "packaged", "--name", "by-module", "--env", "PYTHONPATH=lib", "-m", "pkg.train", "--",
        "--lr", "0.1 0.2",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    job = client.job("by-module")
    assert job.data["cold"] is None
    assert texts(job) == ["1 2 pkg src/pkg/train.py ['--lr', '0.1 0.2'] True", "child __mp_main__"]
    assert "Runs        -m pkg.train --lr '0.1 0.2'" in shared_fleet.command("show", "by-module").stdout
    wrong = shared_fleet.command("run", "--workdir", "packaged", "packaged/src/pkg/train.py")
    assert wrong.returncode == 1
    assert "Run it as a module of its package: headway run -m pkg.train" in wrong.stdout
    missing = shared_fleet.command("run", "--workdir", "packaged", "-m", "pkg.trian", "--dry-run")
    assert (missing.returncode, "Did you mean: headway run -m pkg.train" in missing.stderr) == (1, True)
    (folder / "job.yaml").write_text("module: pkg.train\nvariables: {PYTHONPATH: lib, PYTHONHASHSEED: '0'}\n")
    cold = shared_fleet.command("submit", "packaged/job.yaml", "--name", "cold-module")
    assert cold.returncode == 0, cold.stdout
    assert "1 2 pkg src/pkg/train.py [] True" in cold.stdout


def test_the_working_directory_is_the_scripts_own_unless_said(
    shared_fleet: Fleet, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "project", train_py="import side", side_py="print('found')")
    assert texts(client.run_script(tmp_path / "project" / "train.py").wait()) == ["found"]
    monkeypatch.chdir(tmp_path / "project")
    assert texts(client.run_script("train.py").wait()) == ["found"]
    with pytest.raises(NotFound, match=r"Script nope.py does not exist"):
        client.run_script("nope.py")
    with pytest.raises(InvalidInput, match="is not in the working directory"):
        client.run_script("train.py", workdir=tmp_path / "elsewhere")


def test_any_command_runs_and_the_job_says_why_it_is_cold(shared_fleet: Fleet, client: Client, tmp_path: Path) -> None:
    write(
        tmp_path, prepare_sh="#!/bin/sh\necho $RANK of $WORLD_SIZE $1 $EPOCHS\necho made > $HEADWAY_OUTPUT_DIRECTORY/it"
    )
    (tmp_path / "prepare.sh").chmod(0o755)
    job = client.run_command(["./prepare.sh", "--fast"], workdir=tmp_path, world_size=2, parameters={"epochs": 3})
    job.wait()
    assert sorted(texts(job)) == ["0 of 2 --fast 3", "1 of 2 --fast 3"]
    assert job.data["cold"] == "./prepare.sh is a command, not a Python script"
    assert [one["name"] for one in job.data["artifacts"]] == ["it"]
    python = client.run_command(["python", "-c", "import sys; print(sys.executable)"], workdir=tmp_path).wait()
    assert texts(python) == [sys.executable]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["./nope"], 127, "headway: ./nope cannot be started: No such file or directory."),
        (["./plain.txt"], 126, "headway: ./plain.txt cannot be executed: run chmod +x on it"),
        (["sh", "-c", "exit 5"], 5, ""),
    ],
)
def test_a_command_that_fails_leaves_its_exit_code(
    shared_fleet: Fleet, client: Client, tmp_path: Path, command: list[str], code: int, words: str
) -> None:
    write(tmp_path, plain_txt="")
    job = ended(client.submit({**client.command_spec(["true"], tmp_path), "command": command}))
    assert (job.status, job.data["reason"]) == ("failed", "script_exited")
    assert f"Rank 0 exited with code {code}" in job.data["sentence"]
    assert words in "\n".join(texts(job))


def test_variables_count_in_warm_ranks_or_start_them_cold(shared_fleet: Fleet) -> None:
    """Given variables that libraries read at import, when ranks get them, then they take effect."""
    warm = {"TZ": "Asia/Tokyo", "NUMEXPR_MAX_THREADS": "3", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    source = """
import datetime, os, sys, time
print(time.strftime("%z"), datetime.datetime.fromtimestamp(0).hour, {"numexpr", "tokenizers"} & sys.modules.keys())
print("TORCHINDUCTOR_CACHE_DIR" in os.environ)
"""
    job = ended(shared_fleet.script(source, variables=warm))
    assert (job.data["cold"], texts(job)) == (None, ["+0900 9 set()", "False"])
    cold = {"TORCH_LOGS": "recompiles", "TORCH_DISTRIBUTED_DEBUG": "DETAIL", "TORCH_COMPILE_DISABLE": "1",
            "OMP_NUM_THREADS": "2", "PYTORCH_CUDA_ALLOC_CONF": "garbage_collection_threshold:0.5",
            "TQDM_DISABLE": "1", "LC_ALL": "C.UTF-8"}  # fmt: skip
    source = """
import tempfile, torch, torch._dynamo, torch.distributed as dist, tqdm
from torch._logging._internal import log_state
from torch._inductor.runtime.cache_dir_utils import cache_dir
print(bool(log_state.artifact_names), dist.get_debug_level().name, torch._dynamo.config.disable)
print(torch.get_num_threads())
print(tempfile.gettempdir(), cache_dir().startswith(tempfile.gettempdir()), tqdm.tqdm([]).disable)
"""
    place = str(shared_fleet.folder / "tmp")
    Path(place).mkdir()
    job = ended(shared_fleet.script(source, variables={**cold, "TMPDIR": place}))
    assert texts(job) == ["True DETAIL True", "2", f"{place} True True"], job.data["sentence"]
    assert job.data["cold"].startswith("the variable LC_ALL counts only when a process starts")


def test_a_script_that_uses_the_run_works_outside_headway_too(
    shared_fleet: Fleet, client: Client, tmp_path: Path
) -> None:
    import subprocess

    client.train("mlp", dataset="digits", max_steps=1).wait()  # registers the dataset
    folder = client.download_dataset("digits", tmp_path / "digits")
    environment = {"HEADWAY_DATA_DIRECTORY": str(folder), "PATH": ""}
    command = [sys.executable, str(EXAMPLES / "frameworks" / "pytorch_digits.py")]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "test accuracy 0.9" in ran.stdout
    assert (tmp_path / "outputs" / "model.safetensors").exists()
    without = subprocess.run(command, env={"PATH": ""}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "This job has no dataset: submit it with --dataset NAME" in without.stderr


def test_a_script_asked_to_stop_can_save_what_it_has(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
step = 0
while not run.should_stop:
    step += 1; run.log(step, loss=1.0); time.sleep(0.02)
(run.output_directory / "state").write_text("saved")
print("stopped in time")
"""
    job = shared_fleet.script(source)
    wait_until(lambda: "loss" in series(job), "the first step")
    job.cancel()
    assert ended(job).data["artifacts"][0]["name"] == "state"
    assert texts(job) == ["stopped in time"]


def test_functions_run_in_every_rank_and_return(shared_fleet: Fleet, client: Client, tmp_path: Path) -> None:
    write(tmp_path, mine_py="def double(x): return 2 * x")

    def work(first: int, second: int = 1) -> dict[str, Any]:
        import os

        import mine  # type: ignore[import-not-found]

        return {"sum": mine.double(first) + second, "world_size": int(os.environ["WORLD_SIZE"])}

    job = client.run(work, 20, second=2, options={"world_size": 2, "workdir": tmp_path}).wait()
    assert job.value == {"sum": 42, "world_size": 2}
    assert job.data["labels"] == {"function": "work"}
    other = client.run(lambda: {1, 2}, options={"name": "not-json"}).wait()
    assert other.value is None
    (path,) = other.download("return_value.pickle", tmp_path)
    failing = ended(client.run(lambda: 1 / 0))
    with pytest.raises(InvalidInput, match="cannot be serialised"):
        client.run(print, sys.stdout.buffer)
    import pickle

    assert pickle.loads(path.read_bytes()) == {1, 2}  # noqa: S301 - our own job wrote it
    assert "ZeroDivisionError: division by zero" in failing.data["sentence"]


def test_threads_are_the_slots_share(shared_fleet: Fleet) -> None:
    source = "import os, torch; print(os.environ['OMP_NUM_THREADS'], torch.get_num_threads())"
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert texts(ended(shared_fleet.script(source))) == [f"{share} {share}"]
