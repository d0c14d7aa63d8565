"""Whether another attempt follows an ended one."""

from __future__ import annotations

from collections.abc import Sequence

from headway.core.end_reason import EndReason

SAME_STEP_FAILURES = 3
"""So many failures in a row at one step are no accident."""


def may_retry(reason: EndReason, recent_failures: int, retries: int, *, counted: bool) -> bool:
    """Infrastructure causes are tried again `retries` times; those that count as no failure always are."""
    return reason.retryable and (not counted or recent_failures < retries)


def explain_decision(reason: EndReason, recent_failures: int, retries: int, *, counted: bool, again: bool) -> str:
    """Which rule decided whether another attempt follows, as a sentence."""
    if again and reason.of_worker and not counted:
        return "That is the worker's fault and costs the job no retry. Another attempt follows, elsewhere if possible."
    if again and not counted:
        return "That counts as no failure, so another attempt follows."
    if again:
        return f"Another attempt may go better, so it follows: retry {recent_failures + 1} of {retries}."
    if reason.retryable:
        return (
            f"All {retries} retries are used up, so it is not tried again." if retries else "It is to have no retries."
        )
    return f"That is for the {reason.blame} to mend, so it is not tried again."


def recent(failed_at: Sequence[float], now: float, window_seconds: float) -> tuple[float, ...]:
    """The failures that still count. A clock that was set back makes none of them younger than now."""
    return tuple(at for at in failed_at if now - at <= window_seconds)


def steps_in_row(failed_steps: tuple[int, ...], step: int | None) -> tuple[int, ...]:
    """The steps of failures in a row that were at one step, with the newest; none where the step is not known."""
    if step is None:
        return ()
    return (*failed_steps, step) if not failed_steps or failed_steps[-1] == step else (step,)


def requeue_delay_seconds(reason: EndReason | None, failures_in_row: int, jitter: float) -> float:
    """How long a job waits before its next attempt; `jitter` is drawn from 0..1.

    Colliding gangs part by a random delay; failures without a checkpoint between them back off to half a minute.
    """
    if reason in (None, EndReason.PAUSED):
        return 0.0
    if not reason.counted:
        return 0.2 + 0.8 * jitter
    return 0.0 if failures_in_row <= 1 else min(30.0, 2.0 ** (failures_in_row - 2)) * (0.5 + 0.5 * jitter)
