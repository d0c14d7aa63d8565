"""Whether another attempt follows an ended one."""

from __future__ import annotations

from collections.abc import Sequence

from headway.core.end_reason import Blame, EndReason

SAME_STEP_FAILURES = 3
"""After this many failures in a row at one step, the job is not retried."""


def may_retry(reason: EndReason, recent_failures: int, retries: int, *, counted: bool) -> bool:
    """Infrastructure failures are retried `retries` times. Ends that do not count as a failure are always retried."""
    return reason.retryable and (not counted or recent_failures < retries)


def explain_decision(reason: EndReason, recent_failures: int, retries: int, *, counted: bool, again: bool) -> str:
    """A sentence that says whether the job is retried, and by which rule."""
    if again and reason.of_worker and not counted:
        return "The worker failed, so this costs no retry. The next attempt runs on another worker if possible."
    if again and not counted:
        return "This does not count as a failure. Another attempt follows."
    if again:
        return f"Retry {recent_failures + 1} of {retries} follows."
    if reason.retryable:
        return (
            f"Not retried, because all {retries} retries are used up."
            if retries
            else "Not retried, because retries are off."
        )
    return "Not retried, because the error is in the job." if reason.blame is Blame.USER else "Not retried."


def recent(failed_at: Sequence[float], now: float, window_seconds: float) -> tuple[float, ...]:
    """The failures that still count. If the clock was set back, failures in its future count as well."""
    return tuple(at for at in failed_at if now - at <= window_seconds)


def steps_in_row(failed_steps: tuple[int, ...], step: int | None) -> tuple[int, ...]:
    """The steps of the last failures in a row at one step, with the newest. Empty if the step is not known."""
    if step is None:
        return ()
    return (*failed_steps, step) if not failed_steps or failed_steps[-1] == step else (step,)


def requeue_delay_seconds(reason: EndReason | None, failures_in_row: int, jitter: float) -> float:
    """How long a job waits before its next attempt; `jitter` is drawn from 0..1.

    A random delay separates gangs that collide. Failures without a new checkpoint between them wait longer each time,
    up to half a minute.
    """
    if reason in (None, EndReason.PAUSED):
        return 0.0
    if not reason.counted:
        return 0.2 + 0.8 * jitter
    return 0.0 if failures_in_row <= 1 else min(30.0, 2.0 ** (failures_in_row - 2)) * (0.5 + 0.5 * jitter)
