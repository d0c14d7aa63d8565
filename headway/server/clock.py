"""The clock. The server reads the time only here, so that tests can set it."""

from __future__ import annotations

import time


class Clock:
    """Wall time is for dates that people read; monotonic time measures every timeout.

    `ahead_seconds`: how far the installation's time, on which its servers agree, is ahead of this machine's clock.
    """

    ahead_seconds = 0.0

    def now(self) -> float:
        """Seconds since the epoch, in the installation's time."""
        return self.machine_now() + self.ahead_seconds

    def machine_now(self) -> float:
        """Seconds since the epoch, by this machine's clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back, even if the wall clock is set."""
        return time.monotonic()
