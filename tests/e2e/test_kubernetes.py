"""Jobs in pods, from the command line to the weights: a real cluster, a real server, and this checkout in the pods."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from headway.client import Client, JobHandle
from tests.cluster import CHECKOUT_IMAGE, Namespace, cluster_lock, engine_url, new_namespace, program
from tests.fleet import Fleet, ended, wait_until
from tests.services import FOLDER

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]  # they wait for the cluster
SCRIPT = """
import os, time, headway, torch.distributed as dist
run = headway.run()
dist.init_process_group("gloo")
step = (run.restore() or {"step": 0})["step"]
print("rank", os.environ["RANK"], "goes on from", step, flush=True)
def works():
    time.sleep(0.1)
while not run.should_stop:
    step += 1
    works()
    dist.barrier()
    run.log(step, loss=1.0)
    if run.should_save(step):
        run.save({"step": step}, step)
"""
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "kubernetes.md"


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with cluster_lock(alone=False), new_namespace() as made:
        yield made


@pytest.fixture(scope="module")
def fleet(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server with this engine, and no worker."""
    url = engine_url(namespace, image=CHECKOUT_IMAGE)
    with Fleet(tmp_path_factory.mktemp("kubernetes"), engine_urls=url) as made:
        made.start_server()
        yield made


def test_every_command_of_the_page_runs(fleet: Fleet, client: Client, namespace: Namespace, tmp_path: Path) -> None:
    """Given the page's files, when its commands run in an empty namespace, then a job trains in two pods."""
    text = PAGE.read_text().replace("training", namespace.name)
    for name, content in re.findall(r"```\w+ file=(\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content)
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(f'#!/bin/sh\nexec "{FOLDER}/kubernetes/cluster" kubectl "$@"\n')
    kubectl.chmod(0o755)
    environment = {
        **os.environ,
        "HEADWAY_HOME": str(fleet.home),
        "HEADWAY_SERVER_URL": fleet.url,
        "PATH": os.pathsep.join((str(kubectl.parent), str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    program("kubectl", "delete", "namespace", namespace.name)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        ran = subprocess.run(
            ["bash", "-c", f"set -o pipefail\n{command}"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
    digits = client.job("digits")
    assert digits.status == "succeeded"
    wait_until(lambda: namespace.objects("pods") == [], "the end of the pods")


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Iterator[Client]:
    with fleet.client() as made:
        yield made


def job_on_two_pods(client: Client) -> JobHandle:
    spec = {
        "trainer": "cnn",
        "dataset": "mnist",
        "world_size": 2,
        "engine": "kubernetes",
        "parameters": {"max_steps": 200, "batch_size": 128, "seed": 7, "validation_fraction": 0.01},
        "checkpoints": {"every_steps": 40},
        "pod": {"memory": "1Gi"},
    }
    return client.submit(spec)


def test_a_pod_that_is_deleted_in_the_middle_changes_no_weight(
    fleet: Fleet, client: Client, namespace: Namespace, tmp_path: Path
) -> None:
    """Given two equal jobs, when a pod of one is deleted in its training, then its weights end as the other's."""
    unbroken, broken = job_on_two_pods(client), job_on_two_pods(client)
    fleet.kill("server")  # while pods are asked for
    fleet.start_server()
    wait_until(lambda: broken.checkpoints(), "a checkpoint")
    victim = next(pod for pod in pods_of(namespace, broken) if pod["metadata"]["name"].rsplit("-", 2)[1] == "1")
    namespace.kubectl("delete", "pod", victim["metadata"]["name"], "--grace-period=1", "--wait=false")
    for job in (unbroken, broken):
        assert job.wait(progress=False).status == "succeeded"
    ends = [{attempt["reason"] for attempt in job.attempts()} - {"assignment_ignored"} for job in (unbroken, broken)]
    assert ends == [{"completed"}, {"worker_stopped", "completed"}], "but for what a loaded machine claims too late"
    weights = [
        {name: tensor.tobytes() for name, tensor in load_file(path).items()}
        for job in (unbroken, broken)
        for path in job.download("model.safetensors", tmp_path / job.name)
    ]
    equal = weights[0] == weights[1]
    assert equal, "the weights differ"
    assert broken.result["test"]["accuracy"] >= 0.97
    starts = [one["data"]["seat"] for one in broken.events() if one["type"] == "allocation.seat_up"]
    assert sorted(starts) == [0, 1, 1], "the other pod kept its place"
    wait_until(lambda: namespace.objects("pods") == [], "the end of the pods")


def test_pods_are_looked_into_paused_and_cancelled_as_workers_of_the_fleet_are(
    fleet: Fleet, client: Client, namespace: Namespace
) -> None:
    """Given a script in two pods, then each verb of a running job does there what it does on the fleet."""
    job = fleet.script(
        SCRIPT, name="looked-into", world_size=2, engine="kubernetes", pod={"memory": "1Gi"},
        checkpoints={"every_seconds": None},
    )  # fmt: skip
    beginnings = {"rank 0 goes on from 0", "rank 1 goes on from 0"}
    wait_until(lambda: job.metrics() and beginnings <= {line["text"] for line in job.logs()}, "the first step")
    for seat, pod in enumerate(sorted(pod["metadata"]["name"] for pod in pods_of(namespace, job))):
        assert f"rank {seat} goes on from 0" in namespace.kubectl("logs", pod)
        assert f"{job.id}-1 seat {seat}" in fleet.command("workers").stdout
    assert job.stacks().count("works") >= 2
    ran = fleet.command("exec", job.name, "--rank", "1", "--", "sh", "-c", "hostname; echo $RANK; exit 3")
    assert (ran.stdout, ran.returncode) == (f"{job.id}-1-1\n1\n", 3)

    assert fleet.command("pause", job.name).returncode == 0
    wait_until(lambda: job.refresh().status == "queued", "the pause")
    fleet.kill("server")  # while its pods are given back
    fleet.start_server()
    wait_until(lambda: pods_of(namespace, job) == [], "the end of its pods")
    (saved,) = job.checkpoints()
    assert fleet.command("resume", job.name).returncode == 0
    again = f"rank 1 goes on from {saved['step']}"
    wait_until(lambda: again in {line["text"] for line in job.logs()}, "its continuation")
    assert fleet.command("cancel", job.name).returncode == 0
    assert ended(job).status == "cancelled"
    assert [one["reason"] for one in job.attempts()] == ["paused", "cancelled"]
    wait_until(lambda: pods_of(namespace, job) == [], "the end of its pods")


def pods_of(namespace: Namespace, job: JobHandle) -> list[dict[str, Any]]:
    return [pod for pod in namespace.objects("pods") if pod["metadata"]["labels"].get("headway.io/job") == job.id]
