"""Which ends are retried, and when."""

from __future__ import annotations

import pytest

from headway.core.end_reason import EndReason
from headway.core.retry import may_retry, requeue_delay_seconds


@pytest.mark.parametrize(
    ("reason", "used", "again"),
    [
        (EndReason.WORKER_LOST, 0, True),
        (EndReason.WORKER_LOST, 2, True),
        (EndReason.WORKER_LOST, 3, False),
        (EndReason.SCRIPT_RAISED, 0, False),
        (EndReason.ASSIGNMENT_REFUSED, 3, True),
        (EndReason.COMPLETED, 0, False),
    ],
)
def test_retries(reason: EndReason, used: int, again: bool) -> None:
    assert may_retry(reason, used, 3, counted=reason.counted) is again


def test_the_first_retry_is_immediate_and_later_ones_back_off() -> None:
    delays = [requeue_delay_seconds(EndReason.WORKER_LOST, used, 1.0) for used in range(1, 10)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] <= 30
    assert 0.2 <= requeue_delay_seconds(EndReason.ASSIGNMENT_REFUSED, 0, 0.5) <= 1.0
