"""Sentences about wrong fields of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headway.core.invalid_fields import invalid_field
from headway.core.job import JobSpec

SENTENCES: list[tuple[dict[str, Any], str]] = [
    ({"arguments": ["--lr", 0.1]}, "arguments.1: 0.1 is a number; give text, in quotes: '0.1'."),
    ({"arguments": "--lr 0.1"}, """arguments: '--lr 0.1' is text; give a list: ["--lr", "0.1"]."""),
    ({"arguments": "it's"}, """arguments: "it's" is text; give a list: ["it's"]."""),
    ({"arguments": 5}, "arguments: 5 is a number; give a list: [A, B]."),
    ({"variables": {"A": 1}}, "env.A: 1 is a number; give text, in quotes: '1'."),
    ({"variables": {"A": True}}, "env.A: true is a truth value; give text, in quotes: 'true'."),
    ({"variables": {"A": None}}, "env.A: it is empty; give text, in quotes: '...'."),
    ({"parameters": [1, 2]}, "parameters: it is a list; give names with values: {NAME: VALUE}."),
    ({"paramters": {}}, "paramters: there is no such field. Did you mean parameters?"),
    ({"timeout": "1h"}, "timeout: there is no such field. Did you mean timeout_seconds?"),
    ({"memory": 5}, "memory: there is no such field. Did you mean memory_bytes?"),
    ({"args": []}, "args: there is no such field. Did you mean arguments?"),
    ({"zzz": []}, "zzz: there is no such field."),
    ({"checkpoints": {"every": 5}}, "checkpoints.every: there is no such field. Did you mean every_steps?"),
    ({"environment": {"lokc": "x"}}, "environment.lokc: there is no such field. Did you mean lock?"),
    ({"environment": "uv.lock"}, "environment: 'uv.lock' is text; give names with values: {NAME: VALUE}."),
    ({"timeout_seconds": "1h"}, "timeout_seconds: '1h' is text; give a number of seconds, such as 3600."),
    ({"memory_bytes": "4g"}, "memory_bytes: '4g' is text; give a whole number of bytes, such as 4000000000."),
    ({"world_size": 1.5}, "world_size: 1.5 is a number; give a whole number."),
    ({"world_size": 0}, "world_size: 0 is too small; give a number from 1 to 10,000."),
    ({"priority": 2_000}, "priority: 2000 is too large; give a number from -1,000 to 1,000."),
    ({"minimum_world_size": 0}, "minimum_world_size: 0 is too small; give a number of at least 1."),
    ({"timeout_seconds": -1.5}, "timeout_seconds: -1.5 is too small; give a number above 0."),
    ({"checkpoints": {"keep_newest": 0}}, "checkpoints.keep_newest: 0 is too small; give a number from 1 to 1,000."),
    ({"checkpoints": {"mode": "least"}}, "checkpoints.mode: 'least' is not allowed; give 'min' or 'max'."),
    (
        {"checkpoints": {"mode": "mim"}},
        "checkpoints.mode: 'mim' is not allowed; give 'min' or 'max'. Did you mean min?",
    ),
    ({"checkpoints": {"epoch_end": "often"}}, "checkpoints.epoch_end: 'often' is text; give true or false."),
    ({"notes": "x" * 10_001}, "notes: it has 10,001 characters; 10,000 are allowed."),
    ({"outputs": ["a"] * 101}, "outputs: it has more than 100 values, the most that are allowed."),
    ({"script": None}, "give one of trainer, script, module and command."),
]


@pytest.mark.parametrize(("fields", "sentence"), SENTENCES)
def test_a_wrong_field_gets_a_plain_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as raised:
        JobSpec.model_validate({"script": "t.py", "source": "", **fields})
    assert invalid_field(raised.value.errors()[0], JobSpec).sentence == sentence


def test_no_body_at_all_is_named() -> None:
    assert invalid_field({"loc": (), "type": "missing", "msg": "Field required"}).sentence == "the request has no body."
