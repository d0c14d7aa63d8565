"""Values of the command line. The error for a wrong value names its option."""

from __future__ import annotations

from typing import Any

import click
import pytest

from headway.cli.common import figure
from headway.cli.values import BYTES, DURATION, MOMENT, WORLD_SIZE, Word, typed_as


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (0.1, "0.01", 0.01), (0.1, "1e-3", 0.001), (3, "4", 4), (3, "0.5", 0.5), (3, "auto", "auto"), (3, "007", "007"),
        (0.1, "9e999", "9e999"), (0.1, "nan", "nan"), (True, "false", False), (True, "no", "no"),
        ("2.9", "2.10", "2.10"), (None, "7", "7"), (3, "1_000", "1_000"),
    ],
)  # fmt: skip
def test_a_changed_parameter_keeps_the_type_that_it_had(before: object, text: str, after: object) -> None:
    changed = typed_as(before, text)
    assert (changed, type(changed)) == (after, type(after))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DURATION, "9" * 400), (DURATION, "²s"), (DURATION, "inf"), (BYTES, "9" * 400 + "g"), (BYTES, "nan"),
        (MOMENT, "9" * 18 + "d"), (MOMENT, "2026-13-01"), (WORLD_SIZE, "9" * 5000), (WORLD_SIZE, "²"),
    ],
)  # fmt: skip
def test_a_value_of_the_command_line_that_is_none_gets_a_sentence(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter, match="write"):
        kind.convert(text, None, None)


def test_a_figure_of_a_result_may_be_anything() -> None:
    assert [figure(one, ".2%") for one in (0.5, "NaN", None, [1])] == ["50.00%", "NaN", "None", "[1]"]


def test_a_wrong_word_is_answered_with_the_nearest() -> None:
    kind = Word(("queued", "paused", "running"))
    assert kind.convert("running", None, None) == "running"
    with pytest.raises(click.BadParameter, match=r"Did you mean running\?"):
        kind.convert("runing", None, None)
