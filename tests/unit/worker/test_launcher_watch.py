"""When a launcher counts as stuck."""

from __future__ import annotations

import pytest

from headway.worker.launcher_watch import LauncherWatch

pytestmark = pytest.mark.anyio


def test_a_launcher_is_stuck_if_it_does_not_end_ranks_or_report_their_end() -> None:
    living = {1, 2}
    watch = LauncherWatch(living.__contains__)
    assert watch.stuck([1, 2], 100.0) is None
    living.clear()
    assert watch.stuck([1, 2], 103.0) is None
    assert watch.stuck([1, 2], 109.0) is None
    watch.heard()
    assert watch.stuck([1, 2], 114.0) is None
    assert watch.stuck([1, 2], 120.0) is None
    assert watch.stuck([], 123.0) is None, "all ends are reported, only the launcher itself has to end"
    assert watch.stuck([2], 126.0) is None
    assert watch.stuck([2], 137.0) == "its ranks have ended, but it has not reported that"
    watch = LauncherWatch(lambda pid: True)
    watch.stops(20.0, 100.0)
    watch.stops(1.0, 105.0)
    assert watch.stuck([1], 115.0) is None
    assert watch.stuck([1], 116.0) == "it has not ended its ranks in time"
