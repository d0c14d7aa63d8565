"""Tables on terminals of any width."""

from __future__ import annotations

import click
import pytest

from headway.cli.common import fitted, print_table, status_text, when_briefly, wrapped

TABLE = [
    ["NAME", "STATUS", "WORK", "SUBMITTED"],
    ["a-job-with-a-rather-long-name", "running", "train.py --learning-rate 0.1", "13:21:40"],
]
CUT, DROP = ("NAME", "WORK"), ("SUBMITTED", "STATUS")


def lines(line_characters: int) -> list[list[str]]:
    return fitted(TABLE, line_characters, CUT, DROP)


def test_a_line_ends_where_a_word_no_longer_fits_whatever_its_colours() -> None:
    """Given a coloured word, then the lines are those of the same text without colours."""
    text = "bad {}. Rank 0 raised ValueError: learning rate too large. It ran 1.2 s."
    coloured = wrapped(text.format(status_text("failed")), 40, "", "  ")
    assert [click.unstyle(line) for line in coloured] == [
        "bad failed. Rank 0 raised ValueError:",
        "  learning rate too large. It ran 1.2 s.",
    ]
    assert wrapped("Status      a-word-that-is-too-long", 10, "", "  ") == ["Status", "  a-word-that-is-too-long"]


def test_a_table_that_fits_stays_as_it_is() -> None:
    assert lines(120) == TABLE


def test_long_names_and_work_are_cut_first() -> None:
    assert lines(60)[1] == ["a-job-with-a-rathe…", "running", "train.py --learnin…", "13:21:40"]


def test_then_columns_are_left_out_in_their_order() -> None:
    assert lines(40)[0] == ["NAME", "STATUS", "WORK"]
    assert lines(30) == [["NAME", "WORK"], ["a-job-with-…", "train.py --…"]]


@pytest.mark.parametrize("line_characters", range(4, 130))
def test_no_line_is_longer_than_the_terminal(line_characters: int) -> None:
    for row in _padded(lines(line_characters)):
        assert len(row) <= line_characters


def _padded(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


@pytest.mark.parametrize("seconds", [0, 1.0, 1_700_000_000.0, 1_795_957_860.0])
def test_a_brief_moment_has_twelve_characters_at_most(seconds: float) -> None:
    assert len(when_briefly(seconds)) <= 12


def test_a_column_with_only_dashes_is_left_out_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "LEFT"), [("a", "-"), ("b", "-")], empty=("LEFT",))
    print_table(("NAME", "LEFT"), [("a", "-"), ("b", "5 s")], empty=("LEFT",))
    assert capsys.readouterr().out.splitlines() == ["NAME", "a", "b", "NAME  LEFT", "a     -", "b     5 s"]
