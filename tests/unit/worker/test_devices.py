"""Which accelerators a worker may use, and the variables of its ranks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headway.errors import SettingInvalid
from headway.worker.devices import find_devices

A100S = [(index, f"GPU-{index}aaa-bbb", "A100") for index in range(4)]
MIXED = [(0, "GPU-0aaa", "T4"), (1, "GPU-1aaa", "A100")]
NONE: list[tuple[int, str, str]] = []


def install_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, devices: list[tuple[int, str, str]]) -> None:
    """Install a fake driver tool that lists these devices."""
    tool = folder / "nvidia-smi"
    lines = "".join(f"{index}, {uuid}, {name}\\n" for index, uuid, name in devices)
    tool.write_text(f'#!/bin/sh\nprintf "{lines}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("devices", "variables", "ids", "driver_indexes"),
    [
        (A100S, {}, ["0", "1", "2", "3"], [0, 1, 2, 3]),
        (A100S, {"CUDA_VISIBLE_DEVICES": "2,3"}, ["2", "3"], [2, 3]),
        (A100S, {"CUDA_VISIBLE_DEVICES": " 3 , 1"}, ["3", "1"], [3, 1]),
        (A100S, {"CUDA_VISIBLE_DEVICES": "GPU-2,GPU-0aaa-bbb"}, ["GPU-2", "GPU-0aaa-bbb"], [2, 0]),
        (A100S, {"CUDA_VISIBLE_DEVICES": "GPU-"}, [], []),  # it matches all of them
        (A100S, {"CUDA_VISIBLE_DEVICES": "GPU-9"}, [], []),
        (A100S, {"CUDA_VISIBLE_DEVICES": "MIG-7,MIG-8"}, ["MIG-7", "MIG-8"], [None, None]),
        (A100S, {"CUDA_VISIBLE_DEVICES": "MIG-GPU-2aaa-bbb/1/0"}, ["MIG-GPU-2aaa-bbb/1/0"], [None]),
        (A100S, {"CUDA_VISIBLE_DEVICES": ""}, [], []),
        (A100S, {"CUDA_VISIBLE_DEVICES": "-1"}, [], []),
        (A100S, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, [], []),
        (A100S, {"CUDA_VISIBLE_DEVICES": "1,-1,2"}, ["1"], [1]),  # entries after it do not count
        (A100S, {"CUDA_VISIBLE_DEVICES": "1,7,2"}, ["1"], [1]),
        (A100S, {"CUDA_VISIBLE_DEVICES": "1,GPU-2"}, ["1"], [1]),
        (A100S, {"CUDA_VISIBLE_DEVICES": "1,2,1"}, [], []),
        (MIXED, {"CUDA_VISIBLE_DEVICES": "1"}, ["1"], [None]),  # CUDA counts the fastest first
        (MIXED, {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, ["1"], [1]),
        (MIXED, {"CUDA_VISIBLE_DEVICES": "GPU-1"}, ["GPU-1"], [1]),
        (NONE, {}, [], []),
        (NONE, {"CUDA_VISIBLE_DEVICES": "0"}, [], []),
        (NONE, {"HIP_VISIBLE_DEVICES": "2,3"}, ["2", "3"], [None, None]),
        (NONE, {"HIP_VISIBLE_DEVICES": ""}, [], []),
        (NONE, {"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "1"}, ["1"], [None]),
    ],
)
def test_the_workers_own_variables_say_which_devices_it_may_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[tuple[int, str, str]],
    variables: dict[str, str],
    ids: list[str],
    driver_indexes: list[int | None],
) -> None:
    install_driver(tmp_path, monkeypatch, devices)
    found = find_devices(variables).found
    assert [one.id for one in found] == ids
    assert [one.driver_index for one in found] == driver_indexes


@pytest.mark.parametrize(
    ("variables", "slots", "told"),
    [
        ({}, [0, 2], {"CUDA_VISIBLE_DEVICES": "0,2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, [1], {"CUDA_VISIBLE_DEVICES": "3"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-3,GPU-1"}, [0, 1], {"CUDA_VISIBLE_DEVICES": "GPU-3,GPU-1"}),
        ({"CUDA_VISIBLE_DEVICES": ""}, [0, 5], {}),  # the ranks inherit it
    ],
)
def test_ranks_are_told_the_devices_of_their_slots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], slots: list[int], told: dict[str, str]
) -> None:
    install_driver(tmp_path, monkeypatch, A100S)
    devices = find_devices(variables)
    assert devices.variables(devices.of_slots(slots)) == told


def test_each_slot_has_a_device_or_none_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise LOCAL_RANK would exceed the number of devices."""
    install_driver(tmp_path, monkeypatch, A100S)
    devices = find_devices({"CUDA_VISIBLE_DEVICES": "2,3"})
    devices.check_slots(1)
    devices.check_slots(2)
    with pytest.raises(SettingInvalid, match=r"--slots is 3, but this worker may use 2 devices.* Use --slots 2"):
        devices.check_slots(3)
    find_devices({"CUDA_VISIBLE_DEVICES": ""}).check_slots(64)
    install_driver(tmp_path, monkeypatch, NONE)
    find_devices({"HIP_VISIBLE_DEVICES": "0"}).check_slots(1)
    with pytest.raises(SettingInvalid, match="HIP_VISIBLE_DEVICES to an empty value"):
        find_devices({"HIP_VISIBLE_DEVICES": "0"}).check_slots(2)
