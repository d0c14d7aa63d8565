"""The clock seam: the server asks the time only here, so that tests can set it."""

from __future__ import annotations

import time


class Clock:
    """Wall time dates things for people; monotonic time measures every timeout."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow, whatever is done to the wall clock."""
        return time.monotonic()
