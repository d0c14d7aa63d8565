"""Ranks' output on the worker's own, as `kubectl logs` shows it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from headway.formats.reports import LogLine
from headway.worker.rank_output import show, show_rank_output

LINES = [LogLine(0, 1.0, "epoch 1 of 3"), LogLine(1, 1.0, "50 %", partial=True), LogLine(1, 2.0, "100 % done")]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    logger = logging.getLogger("headway.ranks")
    logger.handlers.clear()
    logger.setLevel(logging.WARNING)


def test_whole_lines_are_shown_with_their_rank() -> None:
    output = io.StringIO()
    show_rank_output(output)
    show(LINES)
    assert output.getvalue() == "rank 0: epoch 1 of 3\nrank 1: 100 % done\n"


def test_workers_without_a_terminal_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show(LINES)
    assert capsys.readouterr() == ("", "")
