"""A run that is killed at random steps ends with exactly the weights of an uninterrupted run."""

from __future__ import annotations

import random

import pytest

from tests.fleet import Fleet
from tests.random_kills import trainer_spec, unbroken, with_kills

STEPS = {"mlp": 3000, "lstm": 1000, "cnn": 1000}
CASES = [
    ("mlp", 1, "fp32", 1),  # the only checkpoint is replaced while it is being restored
    ("lstm", 2, "fp32", 3),
    ("cnn", 4, "fp32", 3),
    ("cnn", 2, "bf16", 3),
]


@pytest.mark.parametrize(("trainer", "world_size", "precision", "keep_newest"), CASES)
def test_a_killed_trainer_ends_with_the_same_weights(
    shared_fleet: Fleet, trainer: str, world_size: int, precision: str, keep_newest: int
) -> None:
    steps = STEPS[trainer]
    spec = trainer_spec(trainer, world_size, precision, steps=steps, every_steps=15, keep_newest=keep_newest)
    with shared_fleet.client() as client:
        alone = unbroken(client, spec)
        broken = with_kills(shared_fleet, client, spec, kills=3, generator=random.Random(f"{trainer}{world_size}"))
    assert broken.kills >= 2
    assert any(broken.steps), "no attempt continued from a checkpoint"
    assert broken.weights == alone.weights
    assert broken.series == alone.series
