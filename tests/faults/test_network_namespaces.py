"""Two workers on machines of their own, as far as the network goes: a namespace each, joined by a bridge."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import headway
from headway.drill.checks import broken_invariants, weights_of
from tests.fleet import Fleet, ended, wait_until

_BRIDGE, _SERVER_ADDRESS = "hwtest", "10.213.7.1"
_ADDRESSES = {"one": "10.213.7.11", "two": "10.213.7.12", "three": "10.213.7.13"}


def run_ip(*words: str, check: bool = True) -> bool:
    return subprocess.run(["ip", *words], check=check, capture_output=True).returncode == 0


@pytest.fixture
def namespaces() -> Iterator[None]:
    """A bridge with the server's address, and a namespace per worker; making them needs root."""
    try:
        permitted = run_ip("link", "add", _BRIDGE, "type", "bridge", check=False)
    except FileNotFoundError:
        permitted = False
    if not permitted and not os.environ.get("CI"):
        pytest.skip("network namespaces need root and iproute2")
    assert permitted, "no bridge could be made: is this root, with iproute2?"
    try:
        run_ip("address", "add", f"{_SERVER_ADDRESS}/24", "dev", _BRIDGE)
        run_ip("link", "set", _BRIDGE, "up")
        for name, address in _ADDRESSES.items():
            space, ours = f"{_BRIDGE}-{name}", f"{_BRIDGE}{name}"
            run_ip("netns", "add", space)
            run_ip("link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", space)
            run_ip("link", "set", ours, "master", _BRIDGE, "up")
            run_ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            run_ip("-n", space, "link", "set", "eth0", "up")
            run_ip("-n", space, "link", "set", "lo", "up")
        yield
    finally:
        for name in _ADDRESSES:
            run_ip("netns", "delete", f"{_BRIDGE}-{name}", check=False)
        run_ip("link", "delete", _BRIDGE, check=False)


def test_a_gang_over_two_namespaces_survives_the_loss_of_one(namespaces: None, tmp_path: Path) -> None:
    """Given ranks in two namespaces, when one's cable is pulled, a third takes its place, and the weights are equal."""
    source = (Path(headway.__file__).parent / "drill" / "training.py").read_text()
    spec = {"world_size": 2, "workers": 2}
    with Fleet(tmp_path, lease_seconds=2, heartbeat_seconds=0.5) as fleet:
        fleet.address = _SERVER_ADDRESS
        fleet.start_server()
        for name in _ADDRESSES:
            fleet.start_worker(name, slots=1, through=("ip", "netns", "exec", f"{_BRIDGE}-{name}"))
        fleet.wait_for_workers(len(_ADDRESSES))
        alone = ended(fleet.script(source, **spec))
        assert alone.status == "succeeded", alone.data
        job = fleet.script(source, **spec)
        wait_until(lambda: any(one["steps"][-1] > 60 for one in job.metrics(["train/loss"]).series), "some steps")
        hosts = {one["worker_name"]: one["endpoint"] for one in job.refresh().data["attempt"]["assignments"]}
        assert all(endpoint.startswith(_ADDRESSES[name]) for name, endpoint in hosts.items()), hosts
        lost = next(iter(hosts))
        run_ip("link", "set", f"{_BRIDGE}{lost}", "down")
        assert ended(job).status == "succeeded", job.data
        assert broken_invariants(job, weights_of(alone)) == []
        first, second = job.attempts()
        assert first["reason"] in ("worker_lost", "peer_lost")
        assert lost not in [one["worker_name"] for one in second["assignments"]]
        assert second["restored_step"] >= 20
