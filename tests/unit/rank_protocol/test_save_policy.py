"""The save policy that a worker gives its ranks."""

from __future__ import annotations

import pytest

from headway.errors import Corrupt
from headway.rank_protocol.save_policy import SavePolicy


@pytest.mark.parametrize("policy", [SavePolicy(), SavePolicy(10, 2.5, epoch_end=False)])
def test_a_policy_comes_back_as_it_was_written(policy: SavePolicy) -> None:
    assert SavePolicy.from_json(policy.to_json()) == policy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '{"every_steps": 10, "every_seconds": null, "epoch_ends": true}',
            "lacks the field epoch_end and has",
        ),
        ("[]", "the save policy is a list, not an object"),
    ],
)
def test_a_policy_of_another_headway_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(Corrupt, match=problem):
        SavePolicy.from_json(text)
