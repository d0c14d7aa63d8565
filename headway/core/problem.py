"""A configuration problem."""

from __future__ import annotations

from typing import NamedTuple

MOST_CLOCK_SECONDS = 60.0


class Problem(NamedTuple):
    """What is wrong, and what to do."""

    what: str
    cure: str


def clock_problems(whose: str, their_seconds: float, our_seconds: float) -> list[Problem]:
    """A problem if another machine's clock differs a lot from ours. Only displayed times depend on it."""
    ahead_seconds = our_seconds - their_seconds
    if abs(ahead_seconds) <= MOST_CLOCK_SECONDS:
        return []
    return [
        Problem(
            f"This machine's clock is {ahead_seconds:+.0f} s off {whose}: times of logs will look wrong.",
            "Switch on time synchronisation (NTP) on both.",
        )
    ]
