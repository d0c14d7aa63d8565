"""Something that is misconfigured."""

from __future__ import annotations

from typing import NamedTuple

MOST_CLOCK_SECONDS = 60.0


class Problem(NamedTuple):
    """What is wrong, and what to do."""

    what: str
    cure: str


def clock_problems(whose: str, their_seconds: float, our_seconds: float) -> list[Problem]:
    """Whether another machine's clock is far from ours. Nothing depends on it but what people read."""
    ahead_seconds = our_seconds - their_seconds
    if abs(ahead_seconds) <= MOST_CLOCK_SECONDS:
        return []
    return [
        Problem(
            f"This machine's clock is {ahead_seconds:+.0f} s off {whose}: times of logs will look wrong.",
            "Switch on time synchronisation (NTP) on both.",
        )
    ]
