"""What people bring: working directories, commands, functions, environments; and what they get back."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.client import Client, JobHandle
from headway.errors import InvalidInput, NotFound
from tests.fleet import Fleet, ended, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def client(shared_fleet: Fleet) -> Iterator[Client]:
    with shared_fleet.client() as client:
        yield client


def texts(job: JobHandle, rank: int | None = None) -> list[str]:
    return [line["text"] for line in job.logs() if rank in (None, line["rank"])]


def series(job: JobHandle) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in job.metrics() if one["rank"] == 0}


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_sh", ".sh").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


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
    """Given a package in src with relative imports, when it is run by -m, then it works, also in a child's pickles."""
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
    assert "It runs: -m pkg.train --lr '0.1 0.2'" in shared_fleet.command("show", "by-module").stdout
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


def test_any_command_runs_and_says_why_it_is_cold(shared_fleet: Fleet, client: Client, tmp_path: Path) -> None:
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
        (["./plain.txt"], 126, "headway: ./plain.txt cannot be executed: chmod +x it"),
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
    """Given variables that libraries read at their import, when ranks get them, then they count."""
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


def test_outputs_are_kept_also_after_a_failure(shared_fleet: Fleet, tmp_path: Path) -> None:
    source = """
import os, pathlib
out = pathlib.Path(os.environ["HEADWAY_OUTPUT_DIRECTORY"])
(out / "deep").mkdir(parents=True); (out / "deep" / "ünï.txt").write_text("kept")
(out / "link").symlink_to("/etc/passwd")
pathlib.Path("results").mkdir(); pathlib.Path("results/a.csv").write_text("1,2"); pathlib.Path("results/b.tmp").touch()
raise SystemExit(4)
"""
    job = ended(shared_fleet.script(source, outputs=["results/*.csv"]))
    assert job.status == "failed"
    assert sorted(one["name"] for one in job.data["artifacts"]) == ["deep/ünï.txt", "results/a.csv"]
    paths = job.download(folder=tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_text() for path in paths} == {
        "deep/ünï.txt": "kept",
        "results/a.csv": "1,2",
    }


def test_files_of_a_second_worker_do_not_replace_the_firsts(shared_fleet: Fleet) -> None:
    source = "import os; open(os.environ['HEADWAY_OUTPUT_DIRECTORY'] + '/who', 'w').write(os.environ['GROUP_RANK'])"
    job = ended(shared_fleet.script(source, world_size=4))
    assert sorted(one["name"] for one in job.data["artifacts"]) == ["who", "worker-1/who"]


def test_a_download_goes_on_where_it_was_cut_off(shared_fleet: Fleet, tmp_path: Path) -> None:
    source = "import os; open(os.environ['HEADWAY_OUTPUT_DIRECTORY'] + '/big', 'wb').write(bytes(range(256)) * 4096)"
    job = ended(shared_fleet.script(source))
    (artifact,) = job.data["artifacts"]
    partial = tmp_path / f".big.{artifact['sha256'][:12]}.part"
    partial.write_bytes(bytes(range(256)) * 100)
    assert job.download(folder=tmp_path)[0].read_bytes() == bytes(range(256)) * 4096
    assert not partial.exists()


def test_metrics_of_unmodified_scripts(shared_fleet: Fleet) -> None:
    source = """
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter() as writer:
    for step in range(30): writer.add_scalar("loss/train", 1.0 / (step + 1), step)
for epoch in (1, 2): print(f"epoch {epoch}: accuracy {epoch / 4:.2%}")
"""
    patterns = {"accuracy": r"epoch (?P<step>\d+): accuracy (?P<value>[\d.]+)%"}
    found = series(ended(shared_fleet.script(source, metrics=patterns)))
    assert (found["loss/train"]["count"], found["loss/train"]["values"][-1]) == (30, pytest.approx(1 / 30))
    assert (found["accuracy"]["steps"], found["accuracy"]["values"]) == ([1, 2], [25.0, 50.0])


def test_a_training_that_diverges_is_followed_to_its_end(shared_fleet: Fleet) -> None:
    source = """
import headway, time
for step, value in enumerate((1.0, float("inf"), float("nan")), start=1):
    headway.run().log(step, loss=value); time.sleep(1.1)
headway.run().finish(test={"loss": float("nan"), "accuracy": 0.1})
"""
    (shared_fleet.desk / "diverges.py").write_text(source)
    followed = shared_fleet.command("run", "diverges.py", "--name", "diverges")
    assert followed.returncode == 0, followed.stderr
    (found,) = json.loads(shared_fleet.command("metrics", "diverges", "--json").stdout)
    assert found["values"] == [1.0, "Infinity", "NaN"]
    for command in (("metrics", "diverges"), ("metrics", "diverges", "--plot"), ("show", "diverges"), ("jobs",)):
        assert shared_fleet.command(*command).returncode == 0
    assert shared_fleet.command("jobs", "--sort", "loss").returncode == 0


def test_event_files_are_read_while_the_script_runs(shared_fleet: Fleet) -> None:
    source = """
import time
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter(flush_secs=1); writer.add_scalar("loss", 0.5, 1); writer.flush()
time.sleep(300)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: "loss" in series(job), "the first scalar")
    assert job.refresh().status == "running"
    job.cancel()
    ended(job)


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize(
    ("script", "arguments", "spec", "words", "metric"),
    [
        ("ddp.py", ["--steps", "20"], {}, "step 20 loss", None),
        ("frameworks/pytorch_digits.py", [], {"data": "digits"}, "test accuracy 0.9", "train/loss"),
        ("frameworks/lightning_line.py", ["--devices", "{}"], {}, "trained", "train/loss"),
        ("frameworks/transformers_tokens.py", [], {}, "trained with {} ranks", "loss"),
        ("frameworks/sklearn_digits.py", [], {"data": "digits", "metrics": {"acc": r"accuracy (\S+)"}}, "acc", "acc"),
        ("frameworks/tensorboard_loss.py", [], {}, "written", "loss/train"),
    ],
)
def test_scripts_of_every_framework_run_unmodified(
    shared_fleet: Fleet,
    client: Client,
    world_size: int,
    script: str,
    arguments: list[str],
    spec: dict[str, Any],
    words: str,
    metric: str | None,
) -> None:
    filled = [argument.format(world_size) for argument in arguments]
    workdir = (EXAMPLES / script).parent
    job = ended(client.run_script(EXAMPLES / script, filled, workdir=workdir, world_size=world_size, **spec))
    assert job.status == "succeeded", (job.data["sentence"], texts(job)[-20:])
    assert any(words.format(world_size) in text for text in texts(job))
    assert metric is None or metric in series(job)


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
    assert "This job has no dataset: submit it with --data NAME" in without.stderr


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

    job = client.run(work, [20], keywords={"second": 2}, world_size=2, workdir=tmp_path).wait()
    assert job.value == {"sum": 42, "world_size": 2}
    assert job.data["labels"] == {"function": "work"}
    other = client.run(lambda: {1, 2}, name="not-json").wait()
    assert other.value is None
    (path,) = other.download("return_value.pickle", tmp_path)
    failing = ended(client.run(lambda: 1 / 0))
    with pytest.raises(InvalidInput, match="cannot be serialised"):
        client.run(print, [sys.stdout.buffer])
    import pickle

    assert pickle.loads(path.read_bytes()) == {1, 2}  # noqa: S301 - our own job wrote it
    assert "ZeroDivisionError: division by zero" in failing.data["sentence"]


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
    """Given `-r` and `-e .`, when either changes, then the next job has the change; what is kept is used by both."""
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
    with pytest.raises(InvalidInput, match=r"requirements.txt needs more/base.txt, which an ignore file leaves out"):
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
        ({"python": "/nope/python"}, "/nope/python is not the path of an interpreter on this worker"),
        ({"python": "/bin/true"}, "/bin/true is not a Python interpreter"),
    ],
)
def test_an_environment_that_cannot_be_had_is_the_users_to_mend(
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


def test_a_dataset_of_ones_own_from_file_to_prediction(shared_fleet: Fleet, client: Client, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 2
    images = (generator.random((600, 16, 16)) * 50 + labels[:, None, None] * 150).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    np.save(tmp_path / "samples.npy", images[:4])
    added = shared_fleet.command("datasets", "add", "mine", str(tmp_path / "mine.npz"))
    assert "480 training and 120 test samples, 2 classes" in added.stdout, added.stderr
    assert "mine" in shared_fleet.command("datasets").stdout
    job = client.train("cnn", dataset="mine", epochs=3, name="own-data").wait()
    assert job.result["test"]["accuracy"] > 0.95
    predicted = shared_fleet.command("predict", "own-data", str(tmp_path / "samples.npy"), "--json")
    assert [one["class"] for one in json.loads(predicted.stdout)] == [0, 1, 0, 1]
    wrong = shared_fleet.command("predict", "own-data", str(tmp_path / "mine.npz"))
    assert wrong.returncode == 0  # its images have the model's shape
    np.save(tmp_path / "wrong.npy", images[:, :8])
    refused = shared_fleet.command("predict", "own-data", str(tmp_path / "wrong.npy"))
    assert (refused.returncode, "the model takes samples of (16, 16)" in refused.stderr) == (2, True)


def test_mnist_is_fetched_from_a_mirror_where_there_is_no_checkout(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server without MNIST, when it is asked for, then the client fetches it, verified, and the job goes on."""
    import functools
    import http.server
    import shutil
    import threading

    mirror = tmp_path / "mirror"
    shutil.copytree(EXAMPLES / "data" / "mnist", mirror)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        good = f"http://127.0.0.1:{server.server_address[1]}"
        empty = tmp_path / "empty"
        empty.mkdir()
        fleet.settings["HEADWAY_DATASET_DIRECTORIES"] = str(empty)
        fleet.start_server()
        (mirror / "broken").mkdir()
        for path in mirror.glob("*.gz"):
            (mirror / "broken" / path.name).write_bytes(path.read_bytes()[:-100])
        with fleet.client() as client:
            monkeypatch.setenv("HEADWAY_DATASET_MIRRORS", f"{good}/nowhere,{good}/broken")
            with pytest.raises(Exception, match="Dataset mnist could not be fetched") as refused:
                client.train("cnn", dataset="mnist")
            assert "404" in str(refused.value)
            monkeypatch.setenv("HEADWAY_DATASET_MIRRORS", f"{good}/nowhere,{good}")
            assert client.train("cnn", dataset="mnist").status == "queued"
            assert client.datasets()[0]["splits"]["train"]["sample_count"] == 60_000
        server.shutdown()


@pytest.mark.timed
def test_a_command_beside_a_rank_and_its_stacks(shared_fleet: Fleet) -> None:
    source = """
import os, time, torch.distributed as dist
open("marker", "w").write("x")
dist.init_process_group("gloo")
def waits_for_ever():
    time.sleep(300)
if os.environ["RANK"] == "1": waits_for_ever()
dist.barrier()
"""
    job = shared_fleet.script(source, name="looked-into", world_size=2)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    wait_until(lambda: "waits_for_ever" in job.stacks(), "the rank's wait")
    stacks = job.stacks()
    first, second = stacks.split("Rank 1 ")
    assert "in barrier" in first
    assert "waits_for_ever" in second
    assert "/headway/training/" not in stacks
    ran = shared_fleet.command("exec", "looked-into", "--rank", "1", "--", "sh", "-c", "cat marker; echo $RANK; exit 3")
    assert (ran.stdout, ran.returncode) == ("x1\n", 3)
    missing = shared_fleet.command("exec", "looked-into", "--", "no-such-program")
    assert (missing.returncode, "No such file or directory" in missing.stderr) == (127, True)
    slow = shared_fleet.command("exec", "looked-into", "--timeout", "1s", "--", "sleep", "60")
    assert (slow.returncode, "took too long" in slow.stderr) == (137, True)
    assert job.refresh().status == "running"
    began = time.monotonic()
    job.cancel(kill=True)
    assert ended(job).status == "cancelled"
    assert time.monotonic() - began < 4  # no grace


def test_job_files_from_init_to_rerun(shared_fleet: Fleet, tmp_path: Path) -> None:
    folder = shared_fleet.desk / "project"
    folder.mkdir()
    assert shared_fleet.command("init", "project/job.yaml").returncode == 0
    again = shared_fleet.command("init", "project/job.yaml")
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    (folder / "train.py").write_text("import os; print('epochs', os.environ.get('EPOCHS'))")
    planned = shared_fleet.command("submit", "project/job.yaml", "--dry-run")
    assert "The job is valid. It would start at once." in planned.stdout, planned.stderr
    submitted = shared_fleet.command("submit", "project/job.yaml", "--name", "from-file", "--label", "team=audio")
    assert submitted.returncode == 0, submitted.stderr
    assert "epochs None" in submitted.stdout
    rerun = shared_fleet.command("rerun", "from-file", "--set", "epochs=3", "--name", "file-again")
    assert "epochs 3" in rerun.stdout
    rest = ("--memory", "1g", "--retries", "1", "--name", "file-third")
    third = shared_fleet.command(
        "rerun", "file-again", "--unset", "epochs", *rest, "--env", "EPOCHS=7", "--", "--lr", "0.2"
    )
    assert "epochs 7" in third.stdout, third.stderr
    spec = json.loads(shared_fleet.command("show", "file-third", "--json").stdout)["spec"]
    assert (spec["arguments"], spec["memory_bytes"], spec["retries"]) == (["--lr", "0.2"], 1 << 30, 1)
    fourth = shared_fleet.command(
        "rerun", "file-third", "--unset-env", "EPOCHS", "--label", "team=", "--name", "file-4th", "--"
    )
    assert "epochs None" in fourth.stdout, fourth.stderr
    spec = json.loads(shared_fleet.command("show", "file-4th", "--json").stdout)["spec"]
    assert (spec["arguments"], spec["labels"]) == ([], {})
    planned = shared_fleet.command("rerun", "file-4th", "--dry-run", "--env", "PYTHONHASHSEED=1", "--name", "never")
    assert "The job is valid. It would start at once." in planned.stdout
    assert "PYTHONHASHSEED" in planned.stdout
    refused = shared_fleet.command("rerun", "file-4th", "--unset-env", "NOT_THERE", "--dry-run")
    assert (refused.returncode, "variables has no NOT_THERE" in refused.stderr) == (2, True)
    assert shared_fleet.command("edit", "file-again", "--notes", "worked", "--label", "team=").returncode == 0
    listed = json.loads(shared_fleet.command("jobs", "--label", "team=audio", "--json").stdout)
    assert [job["name"] for job in listed] == ["file-third", "from-file"]
    shown = shared_fleet.command("show", "file-again").stdout
    assert "Notes: worked" in shown
    (folder / "job.yaml").write_text("script: train.py\nworld_sise: 2\n")
    wrong = shared_fleet.command("submit", "project/job.yaml")
    assert (
        wrong.returncode,
        "job.yaml: world_sise: there is no such field. Did you mean world_size?" in wrong.stderr,
    ) == (2, True)
    (folder / "job.yaml").write_text("script: train.py\n")
    wrong = shared_fleet.command("submit", "project/job.yaml", "--priority", "9999")
    assert (wrong.returncode, "priority" in wrong.stderr, "Job file" in wrong.stderr) == (2, True, False)
    (folder / "job.yaml").write_text("script: [")
    broken = shared_fleet.command("submit", "project/job.yaml")
    assert (broken.returncode, "cannot be read" in broken.stderr) == (2, True)


def test_what_is_used_of_workers(shared_fleet: Fleet, client: Client) -> None:
    job = shared_fleet.script("import time; time.sleep(300)", name="uses-slots", world_size=2)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    (worker,) = [one for one in client.workers() if one["ranks"]]
    assert (worker["ranks"], worker["used_slots"]) == ({"uses-slots": 2}, 2)
    assert 0 < worker["load"]["memory_used_bytes"] < worker["load"]["memory_bytes"]
    assert "uses-slots (2)" in shared_fleet.command("workers").stdout
    job.cancel(kill=True)
    ended(job)


def test_threads_are_the_slots_share(shared_fleet: Fleet) -> None:
    source = "import os, torch; print(os.environ['OMP_NUM_THREADS'], torch.get_num_threads())"
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert texts(ended(shared_fleet.script(source))) == [f"{share} {share}"]
