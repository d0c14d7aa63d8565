"""Output of jobs cannot move the reader's cursor."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from headway.client.control_sequences import with_colours, without_controls
from headway.client.message import Message
from headway.client.terminal_progress import show_in_terminal
from tests.unit.client.test_progress import Followed


@pytest.mark.parametrize(
    ("printed", "plain", "coloured"),
    [
        ("größe\t✓", "größe\t✓", "größe\t✓"),
        ("\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m\x1b[0m"),
        ("\x1b[1;38:5:9mbold", "bold", "\x1b[1;38:5:9mbold\x1b[0m"),
        ("a\x1b[2J\x1b[10;1Hb\x1b[?25lc", "abc", "abc"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink", "alink"),
        ("a\x1bPqsixel\x1b\\b\x1bc\x1b(0d", "abd", "abd"),
        ("a\bb\rc\x9b2Jd\x07\x7f", "abcd", "abcd"),
        ("cut \x1b[3", "cut ", "cut "),
        ("cut \x1b]0;title", "cut ", "cut "),
        ("two\nlines", "two\nlines", "two\nlines"),
    ],
)
def test_only_text_and_colours_stay(printed: str, plain: str, coloured: str) -> None:
    assert without_controls(printed) == plain
    assert with_colours(printed) == coloured


@pytest.mark.parametrize("terminal", [True, False])
def test_following_keeps_colours_on_a_terminal_only(terminal: bool) -> None:
    line = {"rank": 0, "at": 0.0, "text": "\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1Hhome", "partial": False}
    job = Followed(Message("report", {"lines": [line], "series": []}, ""))
    colours = "standard" if terminal else None
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=colours, highlight=False)
    show_in_terminal(job, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("\x1b[31mred" in printed) is terminal
    assert "\x1b[2J" not in printed
    assert terminal or printed == "[0] red home\n"
