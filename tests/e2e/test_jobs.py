"""Jobs with a real server, real workers and real ranks, as a user sees them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from headway.client import Client
from headway.errors import Conflict, JobEnded, NotFound, Unavailable
from tests.fleet import Fleet, ended, wait_until

TORCH_VARIABLES = """
import json, os
names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"]
print(json.dumps({name: os.environ[name] for name in names}))
"""
SUM_OVER_RANKS = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
print("sum", int(total))
dist.destroy_process_group()
"""


def texts(job: object) -> list[str]:
    return [line["text"] for line in job.logs()]


def test_a_trainer_ends_with_a_stored_and_evaluated_model(shared_fleet: Fleet, tmp_path: Path) -> None:
    with shared_fleet.client() as client:
        job = client.train("cnn", dataset="digits", world_size=2, epochs=6, batch_size=32).wait()
        paths = {path.name: path for path in job.download("model", tmp_path)}
        metrics = {series["name"]: series for series in job.metrics().series}
        result = job.result
    assert result["test"]["accuracy"] > 0.9
    assert sum(map(sum, result["test"]["confusion"])) == result["test"]["samples"] == 359
    assert set(paths) == {"model.safetensors", "model.pt", "card.json"}
    card = json.loads(paths["card.json"].read_text())
    assert card["result"] == result
    assert metrics["train/loss"]["values"][-1] < metrics["train/loss"]["values"][0]
    assert len(metrics["validation/accuracy"]["steps"]) == 6
    stages = job.data["attempt"]["stages"]
    assert list(stages) == ["launched", "data_ready", "first_step", "trained", "evaluated", "stored"]
    assert list(stages.values()) == sorted(stages.values())

    import safetensors.torch
    import torch

    weights = safetensors.torch.load_file(paths["model.safetensors"])
    plain = torch.load(paths["model.pt"], weights_only=True)
    assert all(torch.equal(weights[name], plain[name]) for name in weights)


@pytest.mark.parametrize("trainer", ["mlp", "lstm", "cnn"])
def test_ranks_train_one_model(shared_fleet: Fleet, tmp_path: Path, trainer: str) -> None:
    """With dropout off, fp32 and 50 steps, 1, 2 and 4 ranks agree within summation error."""
    import safetensors.torch

    parameters = {"dropout": 0, "precision": "fp32", "max_steps": 50, "batch_size": 30, "dataset_size": 1000}
    weights = {}
    with shared_fleet.client() as client:
        jobs = {
            world_size: client.train(trainer, dataset="digits", world_size=world_size, epochs=9, **parameters)
            for world_size in (1, 2, 4)
        }
        for world_size, job in jobs.items():
            job.wait()
            (path,) = job.download("model.safetensors", tmp_path / str(world_size))
            weights[world_size] = safetensors.torch.load_file(path)
    for world_size in (2, 4):
        for name, tensor in weights[1].items():
            assert tensor.sub(weights[world_size][name]).abs().max() < 2e-3, (trainer, world_size, name)


def test_a_gang_spreads_over_workers_and_meets(shared_fleet: Fleet) -> None:
    job = ended(shared_fleet.script(SUM_OVER_RANKS, world_size=4))
    assert job.status == "succeeded", job.data
    assert [one["rank_count"] for one in job.data["attempt"]["assignments"]] == [2, 2]
    assert texts(job).count("sum 10") == 4


def test_ranks_see_what_torchrun_gives(shared_fleet: Fleet) -> None:
    job = ended(shared_fleet.script(TORCH_VARIABLES, world_size=2))
    seen = sorted((json.loads(text) for text in texts(job)), key=lambda one: one["RANK"])
    assert [(one["RANK"], one["LOCAL_RANK"], one["WORLD_SIZE"], one["LOCAL_WORLD_SIZE"]) for one in seen] == [
        ("0", "0", "2", "2"),
        ("1", "1", "2", "2"),
    ]
    assert seen[0]["MASTER_PORT"] == seen[1]["MASTER_PORT"]


def test_the_example_script_runs_unmodified(shared_fleet: Fleet) -> None:
    example = Path(__file__).parents[2] / "examples" / "ddp.py"
    with shared_fleet.client() as client:
        job = client.run_script(example, ["--steps", "40"], world_size=2).wait()
        assert [text for text in texts(job) if text.startswith("step")][-1].startswith("step 40 loss")


@pytest.mark.parametrize(
    ("source", "reason", "sentence"),
    [
        ("import os, sys; sys.exit(3 * int(os.environ['RANK']))", "script_exited", "Rank 1 exited with code 3."),
        (
            "import os\nif os.environ['RANK'] == '1': raise ValueError('boom')\nimport time; time.sleep(60)",
            "script_raised",
            "Rank 1 raised ValueError: boom.",
        ),
        (
            "import os, ctypes, time\nif os.environ['RANK'] == '1': ctypes.string_at(0)\ntime.sleep(60)",
            "rank_crashed",
            "Rank 1 crashed with SIGSEGV.",
        ),
        ("def f(:", "script_raised", "SyntaxError"),
    ],
)
def test_a_failing_rank_leaves_its_cause(shared_fleet: Fleet, source: str, reason: str, sentence: str) -> None:
    job = ended(shared_fleet.script(source, world_size=2))
    assert (job.status, job.data["reason"], job.data["blame"]) == ("failed", reason, "user")
    assert sentence in job.data["sentence"]
    failure = job.data["attempt"]["failure"]
    assert failure["log_tail"] or failure["traceback"] or reason == "script_exited"
    assert job.data["retries_used"] == 0


def test_a_rank_killed_from_outside_is_tried_again(shared_fleet: Fleet) -> None:
    source = """
import os, signal, sys
print("attempt", os.environ["HEADWAY_ATTEMPT"])
if os.environ["HEADWAY_ATTEMPT"] == "1": os.kill(os.getpid(), signal.SIGKILL)
"""
    job = ended(shared_fleet.script(source))
    assert (job.status, job.data["retries_used"]) == ("succeeded", 1)
    assert texts(job) == ["attempt 1", "attempt 2"]
    first, second = job.attempts()
    assert (first["reason"], first["failure"]["signal"], second["reason"]) == ("rank_killed", "SIGKILL", "completed")


def test_an_abort_after_the_script_finished_is_a_success_with_a_warning(shared_fleet: Fleet) -> None:
    job = ended(shared_fleet.script("import atexit, os; atexit.register(os.abort); print('done')"))
    assert job.status == "succeeded"
    assert job.data["warnings"] == ["Rank 0 ended with SIGABRT after its script had finished."]


@pytest.mark.parametrize("variables", [{}, {"PYTHONHASHSEED": "0"}], ids=["warm", "cold"])
def test_an_abort_after_the_script_finished_does_not_end_the_other_ranks(
    shared_fleet: Fleet, variables: dict[str, str]
) -> None:
    """Given a rank that is done and aborts at its exit, then the other rank still has the time that it needs."""
    source = """
import atexit, os, time
atexit.register(os.abort) if os.environ["RANK"] == "0" else time.sleep(3)
print("done")
"""
    job = ended(shared_fleet.script(source, world_size=2, variables=variables))
    assert (job.status, texts(job).count("done")) == ("succeeded", 2), job.data["sentence"]
    assert job.data["warnings"][0] == "Rank 0 ended with SIGABRT after its script had finished."


@pytest.mark.parametrize("leave", ["import os; print('x', flush=True); os._exit(0)", "raise SystemExit(0)"])
def test_leaving_with_zero_is_finishing(shared_fleet: Fleet, leave: str) -> None:
    assert ended(shared_fleet.script(leave)).status == "succeeded"


def test_cancelling_ends_ranks_that_ignore_sigterm_and_all_that_they_started(shared_fleet: Fleet) -> None:
    source = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1234567"], start_new_session=True)
print(child.pid, os.getpid())
time.sleep(600)
"""
    job = shared_fleet.script(source)
    line = wait_until(lambda: texts(job), "the script's first line")[0]
    assert job.cancel().status == "stopping"
    assert ended(job).status == "cancelled"
    for pid in line.split():
        assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Conflict, match="already cancelled"):
        job.cancel()


def test_metrics_and_parameters_through_the_run(shared_fleet: Fleet) -> None:
    source = """
import headway
run = headway.run()
for step in range(5):
    run.log(step, loss=1 / (step + 1), **{"extra/value": run.rank})
"""
    job = ended(shared_fleet.script(source, world_size=2))
    series = {(one["name"], one["rank"]): one["values"] for one in job.metrics().series}
    assert series["loss", 1] == [1.0, 0.5, 1 / 3, 0.25, 0.2]
    assert series["extra/value", 1] == [1.0] * 5


def test_output_of_every_kind_is_kept_in_order(shared_fleet: Fleet) -> None:
    source = r"""
import sys, os
for number in range(20_000): print(number)
os.write(1, b"bad \xff byte\n10%\r100%\n")
print("to stderr", file=sys.stderr)
sys.stdout.write("no newline at the end")
"""
    found = texts(ended(shared_fleet.script(source)))
    assert found[:20_000] == [str(number) for number in range(20_000)]
    assert found[20_000:] == ["bad \ufffd byte", "100%", "to stderr", "no newline at the end"]


def test_the_workers_tokens_and_settings_do_not_reach_scripts(shared_fleet: Fleet) -> None:
    source = "import os; print(sorted(name for name in os.environ if name.startswith('HEADWAY_')))"
    (line,) = texts(ended(shared_fleet.script(source)))
    assert "HEADWAY_RUN_FILE" in line
    assert not {"HEADWAY_TOKEN", "HEADWAY_HOME", "HEADWAY_LEAK"} & set(ast.literal_eval(line))


def test_one_jobs_environment_does_not_reach_the_next(shared_fleet: Fleet) -> None:
    ended(shared_fleet.script("import os, sys; os.environ['LEAK'] = '1'; sys.modules['leak'] = sys"))
    job = ended(shared_fleet.script("import os, sys; print(os.environ.get('LEAK'), 'leak' in sys.modules)"))
    assert texts(job) == ["None False"]


def test_random_numbers_differ_from_job_to_job(shared_fleet: Fleet) -> None:
    source = "import random, numpy; print(random.random(), numpy.random.rand())"
    first, second = ended(shared_fleet.script(source)), ended(shared_fleet.script(source))
    assert not set(texts(first)[0].split()) & set(texts(second)[0].split())


def test_a_job_too_large_for_the_fleet_says_so_and_does_not_block_others(shared_fleet: Fleet) -> None:
    large = shared_fleet.script("", world_size=64)
    assert ended(shared_fleet.script("")).status == "succeeded"
    assert "Needs 64 slots; all workers together have 4" in large.refresh().data["sentence"]
    assert large.cancel().status == "cancelled"


def test_the_client_waits_raises_and_finds(shared_fleet: Fleet) -> None:
    with shared_fleet.client() as client:
        job = client.submit({"script": "s.py", "source": "raise SystemExit('no luck')", "name": "unlucky"})
        with pytest.raises(JobEnded, match="Rank 0 exited with code 1"):
            job.wait()
        assert client.job("unlucky").id == job.id
        with pytest.raises(NotFound, match="Job nobody does not exist"):
            client.job("nobody")
        with pytest.raises(NotFound, match=r"Script .*missing.py does not exist"):
            client.run_script("missing.py")
        assert "unlucky" in [one.name for one in client.jobs(["failed"])]
        job.delete()
        with pytest.raises(NotFound):
            client.job("unlucky")


def test_the_command_line(shared_fleet: Fleet, tmp_path: Path) -> None:
    command = shared_fleet.command
    script = shared_fleet.desk / "hello.py"
    script.write_text("import sys\nprint('hello', *sys.argv[1:])\n")
    ran = command("run", "hello.py", "--name", "cli-run", "--", "--flag", "x")
    assert ran.returncode == 0, ran.stderr
    assert "hello --flag x" in ran.stdout
    assert "cli-run succeeded" in ran.stdout
    train = command(
        "train", "mlp", "--name", "cli-train", "--dataset", "digits", "--epochs", "2", "--set", "batch_size=32"
    )
    assert train.returncode == 0, train.stderr
    assert "Test accuracy" in train.stdout
    assert "first step " in train.stdout
    assert "headway download cli-train model" in train.stdout
    assert command("logs", "cli-run").stdout == "hello --flag x\n"
    assert "job.succeeded" in command("events", "cli-run").stdout
    assert "train/loss" in command("metrics", "cli-train").stdout
    assert "Artifact model.safetensors" in command("show", "cli-train").stdout
    rows = json.loads(command("jobs", "--json").stdout)
    assert {"cli-run", "cli-train"} <= {row["name"] for row in rows}
    assert "cli-train" in command("jobs").stdout
    assert "0 of 2" in command("workers").stdout
    downloaded = command("download", "cli-train", "model", "--to", str(tmp_path / "m")).stdout.split()
    assert [Path(path).stat().st_size > 0 for path in downloaded] == [True] * 3
    detached = command("run", "hello.py", "--detach", "--json")
    name = json.loads(detached.stdout)["name"]
    assert command("follow", name).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["show", "nobody"], 1, "Error: Job nobody does not exist."),
        (["train", "cnx", "--dataset", "digits"], 2, "Error: Trainer cnx does not exist."),
        (["train", "cnn", "--dataset", "digits", "--set", "x"], 2, "'x' is not NAME=VALUE"),
        (["run", "missing.py"], 1, "Error: Script missing.py does not exist."),
        (["run", "missing.py", "--wrold-size", "2"], 2, "No such option '--wrold-size'. Did you mean '--world-size'?"),
        (["trian"], 2, "There is no command trian. Did you mean: headway train"),
        (["download", "nobody"], 1, "Error: Job nobody does not exist."),
    ],
)
def test_the_command_line_names_what_is_wrong(
    shared_fleet: Fleet, arguments: list[str], status: int, words: str
) -> None:
    ran = shared_fleet.command(*arguments)
    assert ran.returncode == status
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_failed_jobs_status_is_the_commands(shared_fleet: Fleet) -> None:
    (shared_fleet.desk / "fails.py").write_text("raise ValueError('boom')")
    ran = shared_fleet.command("run", "fails.py")
    assert ran.returncode == 1
    assert "Rank 0 raised ValueError: boom." in ran.stdout
    assert "First to fail: rank 0 on worker" in ran.stdout


def test_a_missing_server_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    said = r"No server answers at http://127.0.0.1:9 .* Start one with `headway up`"
    with Client(url="http://127.0.0.1:9", token="x") as client, pytest.raises(Unavailable, match=said):
        client.jobs()


def test_starting_the_server_imports_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    check = "import headway.server.app, headway.cli.main, headway.client, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_commands_that_only_read_import_little() -> None:
    import subprocess
    import sys

    check = "import headway.cli.jobs, sys; sys.exit(bool({'pydantic', 'numpy', 'pathspec'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_second_server_and_a_taken_port_are_refused(shared_fleet: Fleet, tmp_path: Path) -> None:
    second = shared_fleet.command("server", "--home", str(shared_fleet.home), "--port", "0", timeout=30)
    assert second.returncode == 2
    assert "in use by another server" in second.stderr
    taken = shared_fleet.command("server", "--home", str(tmp_path), "--port", str(shared_fleet.port), timeout=30)
    assert taken.returncode == 2
    assert f"Cannot listen on port {shared_fleet.port} of 127.0.0.1" in taken.stderr
