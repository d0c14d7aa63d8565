"""Two workers in separate network namespaces, joined by a bridge, as on two machines."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import headway
from headway.drill.checks import broken_invariants, weights_of
from tests.fleet import Fleet, ended, wait_until

WORKERS = ("one", "two", "three")


@dataclass(frozen=True)
class Networks:
    """The names and addresses of one run of this test, as others may run on the same machine."""

    bridge: str = field(default_factory=lambda: f"hw{secrets.token_hex(3)}")  # with a worker's name 15 at most
    subnet: str = field(default_factory=lambda: f"10.{128 + secrets.randbelow(128)}.{secrets.randbelow(256)}")

    @property
    def server(self) -> str:
        """The server's address."""
        return f"{self.subnet}.1"

    def address(self, worker: str) -> str:
        """A worker's address."""
        return f"{self.subnet}.{11 + WORKERS.index(worker)}"

    def space(self, worker: str) -> str:
        """A worker's namespace."""
        return f"{self.bridge}-{worker}"

    def cable(self, worker: str) -> str:
        """The bridge's end of what joins it to a worker's namespace."""
        return f"{self.bridge}{worker}"


def run_ip(*words: str, check: bool = True) -> bool:
    return subprocess.run(["ip", *words], check=check, capture_output=True).returncode == 0


@pytest.fixture
def networks() -> Iterator[Networks]:
    """A bridge with the server's address, and a namespace per worker. Creating them needs root."""
    networks = Networks()
    try:
        permitted = run_ip("link", "add", networks.bridge, "type", "bridge", check=False)
    except FileNotFoundError:
        permitted = False
    if not permitted and not os.environ.get("CI"):
        pytest.skip("network namespaces need root and iproute2")
    assert permitted, "no bridge could be made: is this root, with iproute2?"
    try:
        run_ip("address", "add", f"{networks.server}/24", "dev", networks.bridge)
        run_ip("link", "set", networks.bridge, "up")
        for name in WORKERS:
            space, cable = networks.space(name), networks.cable(name)
            run_ip("netns", "add", space)
            run_ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            run_ip("link", "set", cable, "master", networks.bridge, "up")
            run_ip("-n", space, "address", "add", f"{networks.address(name)}/24", "dev", "eth0")
            run_ip("-n", space, "link", "set", "eth0", "up")
            run_ip("-n", space, "link", "set", "lo", "up")
        yield networks
    finally:
        for name in WORKERS:
            run_ip("netns", "delete", networks.space(name), check=False)
        run_ip("link", "delete", networks.bridge, check=False)


def test_a_gang_over_two_namespaces_survives_the_loss_of_one(networks: Networks, tmp_path: Path) -> None:
    """Given ranks in two namespaces, when one is disconnected, a third replaces it, and the weights are equal."""
    source = (Path(headway.__file__).parent / "drill" / "training.py").read_text()
    spec = {"world_size": 2, "workers": 2}
    with Fleet(tmp_path, lease_seconds=2, heartbeat_seconds=0.5) as fleet:
        fleet.address = networks.server
        fleet.start_server()
        for name in WORKERS:
            fleet.start_worker(name, slots=1, through=("ip", "netns", "exec", networks.space(name)))
        fleet.wait_for_workers(len(WORKERS))
        alone = ended(fleet.script(source, **spec))
        assert alone.status == "succeeded", alone.data
        job = fleet.script(source, **spec)
        wait_until(lambda: any(one["steps"][-1] > 60 for one in job.metrics(["train/loss"]).series), "some steps")
        hosts = {one["worker_name"]: one["endpoint"] for one in job.refresh().data["attempt"]["assignments"]}
        assert all(endpoint.startswith(networks.address(name)) for name, endpoint in hosts.items()), hosts
        lost = next(iter(hosts))
        run_ip("link", "set", networks.cable(lost), "down")
        assert ended(job).status == "succeeded", job.data
        assert broken_invariants(job, weights_of(alone)) == []
        first, second = job.attempts()
        assert first["reason"] in ("worker_lost", "peer_lost")
        assert lost not in [one["worker_name"] for one in second["assignments"]]
        assert second["restored_step"] >= 20
