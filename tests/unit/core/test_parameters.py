"""Parameters of the built-in trainers."""

from __future__ import annotations

import pytest

from headway.core.parameters import parse_parameters
from headway.errors import InvalidInput


@pytest.mark.parametrize(
    ("trainer", "given_", "words"),
    [
        ("cnnn", {}, "Trainer cnnn does not exist. Did you mean cnn? There are: mlp, lstm, cnn."),
        ("cnn", {"epoch": 1}, "Trainer cnn has no parameter epoch. Did you mean epochs? It has: batch_size"),
        ("cnn", {"precision": "bf61"}, "give 'auto', 'fp32' or 'bf16'. Did you mean bf16?"),
        ("cnn", {"lr": 1}, "Trainer cnn has no parameter lr. It has: batch_size"),
        (
            "cnn",
            {"dropout": 1.5},
            "dropout of trainer cnn: 1.5 is too large; give a number of at least 0 and below 1.",
        ),
        ("mlp", {"epochs": "many"}, "Parameter epochs of trainer mlp: 'many'"),
        ("mlp", {"batch_size": 0}, "0 is too small; give a number from 1 to 65,536"),
    ],
)
def test_bad_parameters_are_named(trainer: str, given_: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_parameters(trainer, given_)
    assert words in str(error.value)


def test_defaults_are_filled_in() -> None:
    assert parse_parameters("mlp", {}).dropout == 0.2
    assert parse_parameters("cnn", {"epochs": 2}).epochs == 2
