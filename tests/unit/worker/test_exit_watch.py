"""Processes have a limited time to end once all ranks have finished."""

from __future__ import annotations

from headway.worker.exit_watch import ExitWatch


def test_the_limit_counts_from_the_first_notice_and_is_reported_once() -> None:
    watch = ExitWatch(limit_seconds=60.0)
    assert not watch.overdue(1_000.0), "ranks still run"
    watch.finished(1_000.0)
    watch.finished(1_050.0)
    assert not watch.overdue(1_059.0)
    assert watch.overdue(1_060.0)
    assert not watch.overdue(1_061.0)
    watch.finished(1_062.0)
    assert not watch.overdue(2_000.0)
