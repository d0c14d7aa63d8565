"""The command that is printed after a failure."""

from __future__ import annotations

from typing import Any

import pytest

from headway.cli.original_command import original_command
from headway.core.job import JobSpec

SENT = {"snapshot": "0" * 64}


def command_of(**fields: Any) -> str | None:
    return original_command(JobSpec(**fields).model_dump(mode="json"))


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"script": "train.py", **SENT}, "headway run train.py"),
        (
            {"script": "train.py", "arguments": ["--lr", "0.1"], "world_size": 2, **SENT},
            "headway run train.py --world-size 2 -- --lr 0.1",
        ),
        ({"module": "package.train", **SENT, "arguments": ["a b"]}, "headway run -m package.train -- 'a b'"),
        ({"command": ["sh", "-c", "exit 1"], **SENT}, "headway run -- sh -c 'exit 1'"),
        ({"script": "t.py", "name": "mine", **SENT}, "headway run t.py --name mine-2"),
        (
            {"trainer": "cnn", "dataset": "mnist", "parameters": {"epochs": 2}, "world_size": {"min": 1, "max": 4}},
            "headway train cnn --dataset mnist --world-size 1-4 --set epochs=2",
        ),
        (
            {
                "script": "t.py", **SENT, "data": "digits", "variables": {"A": "1"}, "outputs": ["*.csv"], "retries": 0,
                "environment": {"lock": "requirements.txt"}, "checkpoints": {"every_steps": 5}, "timeout_seconds": 90,
                "labels": {"team": "a"}, "where": {"gpu": "a100"}, "metrics": {"loss": r"loss (\S+)"},
            },
            "headway run t.py --dataset digits --retries 0 --timeout 90 --env A=1 --metric 'loss=loss (\\S+)' "
            "--label team=a --where gpu=a100 --output '*.csv' --save-steps 5 --lock requirements.txt",
        ),
        ({"script": "t.py", "source": "1"}, None),
        ({"script": "call.py", **SENT, "labels": {"function": "f"}}, None),
    ],
)  # fmt: skip
def test_it_is_what_one_would_type(fields: dict[str, Any], command: str | None) -> None:
    assert command_of(**fields) == command
