"""Whether another attempt follows an ended one."""

from __future__ import annotations

from headway.core.end_reason import EndReason


def may_retry(reason: EndReason, retries_used: int, retries: int) -> bool:
    """Infrastructure causes are tried again `retries` times; those that count as no failure always are."""
    return reason.retryable and (not reason.counted or retries_used < retries)


def requeue_delay_seconds(reason: EndReason | None, failures_in_row: int, jitter: float) -> float:
    """How long a job waits before its next attempt; `jitter` is drawn from 0..1.

    Colliding gangs part by a random delay; failures without a checkpoint between them back off to half a minute.
    """
    if reason in (None, EndReason.PAUSED):
        return 0.0
    if not reason.counted:
        return 0.2 + 0.8 * jitter
    return 0.0 if failures_in_row <= 1 else min(30.0, 2.0 ** (failures_in_row - 2)) * (0.5 + 0.5 * jitter)
