"""The limits of a pod count, not the node's."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.worker.cgroup import Cgroup, MemoryUse
from headway.worker.load import Load
from headway.worker.slots import usable_cores


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture(params=["version 2, own root", "version 2, path of the host", "version 1"])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The files of a group with 1.5 cores and 4,000 bytes, of which 1,000 can be dropped."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    if request.param == "version 1":
        own.write_text("5:memory:/pod\n4:cpu,cpuacct:/pod\n")
        write(root / "memory/pod", memory__limit_in_bytes="4000", memory__usage_in_bytes="3000")
        write(root / "memory/pod", memory__stat="cache 5\ntotal_inactive_file 1000")
        write(root / "cpu/pod", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
        write(root / "cpuacct/pod", cpuacct__usage="2000000000")
        return tmp_path
    group = root / "pod" if request.param.endswith("host") else root
    own.write_text("0::/pod\n")
    write(root, cgroup__controllers="cpu memory")
    write(group, memory__max="4000", memory__current="3000", memory__stat="anon 5\ninactive_file 1000")
    write(group, cpu__max="150000 100000", cpu__stat="usage_usec 2000000\nuser_usec 1")
    return tmp_path


def test_the_limits_of_the_group_are_found(limited: Path) -> None:
    group = Cgroup(limited / "cgroup", limited / "own")
    assert group.memory() == MemoryUse(used_bytes=2000, limit_bytes=4000)
    assert group.cores() == 1.5
    assert group.cpu_seconds() == 2.0


def test_load_and_cores_of_a_worker_are_those_of_its_group(limited: Path) -> None:
    group = Cgroup(limited / "cgroup", limited / "own")
    load = Load(group).read()
    assert (load.memory_used_bytes, load.memory_bytes) == (2000, 4000)
    assert load.cpu_fraction == 0.0, "the group has used no time since, whatever the machine does"
    assert usable_cores(group) == 1


def test_a_group_without_limits_leaves_the_machines(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/\n")
    write(
        tmp_path / "cgroup",
        cgroup__controllers="cpu memory",
        memory__max="max",
        memory__current="3",
        cpu__max="max 100000",
    )
    group = Cgroup(tmp_path / "cgroup", tmp_path / "own")
    assert group.memory() is None
    assert group.cores() is None
    assert Load(group).read().memory_bytes > 1 << 20
    assert usable_cores(group) >= 1


def test_a_machine_without_groups_has_no_limits(tmp_path: Path) -> None:
    group = Cgroup(tmp_path / "none", tmp_path / "none")
    assert (group.memory(), group.cores(), group.cpu_seconds()) == (None, None, None)
