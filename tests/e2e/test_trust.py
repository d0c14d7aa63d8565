"""A rank inherits nothing of its worker and server except what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet import Fleet, ended, free_port, wait_until

DESCRIPTORS = """
import json, os
found = {}
for name in os.listdir("/proc/self/fd"):
    try:
        found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        pass
found = {number: target for number, target in found.items() if f"/proc/{os.getpid()}/fd" not in target}
print("FOUND " + json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_ranks_inherit_no_descriptor_but_their_own(shared_fleet: Fleet) -> None:
    """Given two ranks that start warm, two that start cold, and a command."""
    jobs = [
        shared_fleet.script(DESCRIPTORS, world_size=2),
        shared_fleet.script(DESCRIPTORS, world_size=2, variables={"PYTHONHASHSEED": "0"}),
        shared_fleet._kept_client().submit(
            {"command": [sys.executable, "-c", DESCRIPTORS.strip()], "snapshot": None, "world_size": 1}
        ),
    ]
    for job in jobs:
        assert ended(job).status == "succeeded", job.data["sentence"]
        said = [line["text"] for line in job.logs() if line["text"].startswith("FOUND ")]
        assert len(said) == job.data["spec"]["world_size"]
        for line in said:
            found = json.loads(line.removeprefix("FOUND "))
            foreign = {
                number: target
                for number, target in found.items()
                if int(number) > 2 and not target.startswith(str(shared_fleet.folder)) and target != "/dev/null"
            }
            assert not foreign, foreign
            own = f"{job.id}.1."
            assert all(own in target for target in found.values() if str(shared_fleet.folder) in target), found


def test_a_server_leaves_nothing_that_others_can_read(tmp_path: Path) -> None:
    """Given a home that others may read, such as a volume, and an ordinary umask."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    command = [sys.executable, "-m", "headway", "server", "--home", str(home), "--port", str(free_port())]
    server = subprocess.Popen(command, umask=0o022, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (home / "server.url").exists(), "the server's start")
        found = [path for path in [home, *home.rglob("*")] if path.stat().st_mode & 0o077]
        assert found == []
        assert (home / "headway.db-wal").exists()
    finally:
        server.terminate()
        server.wait()
    assert os.umask(0o022) is not None
