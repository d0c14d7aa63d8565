"""The plan of an attempt, as the worker writes it and the launcher reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headway.errors import Corrupt
from headway.rank_protocol.plan import Plan
from tests.unit.example_plan import PLAN


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, data=None, packages=Path("/venv/lib"), trainer="mlp")])
def test_a_plan_comes_back_as_it_was_written(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan


def test_a_plan_with_other_fields_is_refused_by_their_names() -> None:
    """Given a plan of another Headway, when it is read, then the error names missing and unknown fields."""
    values = json.loads(PLAN.to_json())
    del values["work"], values["threads"]
    values["colour"] = "red"
    with pytest.raises(Corrupt, match="lacks fields work, threads and has the field colour"):
        Plan.from_json(json.dumps(values).encode())


def test_a_plan_that_is_not_an_object_is_refused() -> None:
    with pytest.raises(Corrupt, match="the plan is a list, not an object"):
        Plan.from_json(b"[]")
