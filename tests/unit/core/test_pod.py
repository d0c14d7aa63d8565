"""What a job may request of its pods, and the errors for everything else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headway.core.invalid_fields import invalid_field
from headway.core.job import JobSpec
from headway.core.pod import Pod, amount


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"cpu": 0}, "pod.cpu: 0 is not between"),
        ({"cpu": "two"}, "pod.cpu: 'two' is not a quantity"),
        ({"cpu": True}, "pod.cpu: true is a truth value"),
        ({"memory": "4"}, "pod.memory: 4 is not between"),
        ({"memory": "-4Gi"}, "pod.memory: '-4Gi' is not a quantity"),
        ({"resources": {"gpu": 1}}, "resources: 'gpu' is an unknown resource"),
        ({"resources": {"cpu": 1}}, "cpu and memory are fields of their own"),
        ({"resources": {"nvidia.com/gpu": 0}}, "resources: nvidia.com/gpu is 0"),
        ({"image": "a b"}, "image is 'a b'"),
        ({"service_account": "x" * 254}, "pod.service_account: "),
        ({"node_selector": {"gpu": "x" * 64}}, "at most 63 each"),
        ({"tolerations": [{"value": "x"}]}, "needs the key"),
        (
            {"tolerations": [{"key": "k", "effect": "Never"}]},
            "pod.tolerations.0.effect: 'Never' is not allowed",
        ),
        ({"volumes": [{"path": "/headway/x", "claim": "c"}]}, "path /headway/x is in /headway"),
        ({"volumes": [{"path": "/tmp", "claim": "c"}]}, "path /tmp is in /tmp"),
        ({"volumes": [{"path": "/a/../proc", "claim": "c"}]}, "give an absolute path"),
        ({"volumes": [{"path": "/"}]}, "give an absolute path"),
        ({"volumes": [{"path": "/d", "claim": "Not_A_Name"}]}, "pod.volumes.0.claim: 'Not_A_Name' cannot be the name"),
        ({"volumes": [{"path": "/d", "claim": "c", "size": "1Gi"}]}, "size belongs to an empty folder"),
        ({"volumes": [{"path": "/d"}, {"path": "/d"}]}, "two have the path /d"),
        ({"secret_variables": {"RANK": {"secret": "s", "key": "k"}}}, "would replace RANK"),
        ({"secret_variables": {"PATH": {"secret": "s", "key": "k"}}}, "PATH"),
        ({"secret_variables": {"X": {"secret": "headway-a-1", "key": "token"}}}, "secret headway-a-1 is Headway's own"),
        ({"gpus": 1}, "pod.gpus: there is no such field"),
    ],
)
def test_what_is_wrong_is_named(pod: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        JobSpec.model_validate({"command": ["true"], "pod": pod})
    assert words in invalid_field(error.value.errors()[0], JobSpec).sentence


def test_numbers_and_quantities_are_taken_as_people_write_them() -> None:
    pod = Pod.model_validate({"cpu": 0.5, "memory": "1.5Gi", "shared_memory": 1 << 30})
    assert (pod.cpu, pod.memory, pod.shared_memory) == ("0.5", "1.5Gi", str(1 << 30))
    assert amount("500m") * 2 == 1
    assert amount("1.5Gi") == 3 << 29
    assert amount("2k") == 2000
