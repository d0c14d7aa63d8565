"""The clock seam: the server asks the time only here, so that tests can set it."""

from __future__ import annotations

import time


class Clock:
    """Wall time dates things for people; monotonic time measures every timeout.

    `ahead_seconds`: how far the times of this installation, which its servers agree on, are ahead of this machine's.
    """

    ahead_seconds = 0.0

    def now(self) -> float:
        """Seconds since the epoch, as this installation counts them."""
        return self.machine_now() + self.ahead_seconds

    def machine_now(self) -> float:
        """Seconds since the epoch, by this machine's clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow, whatever is done to the wall clock."""
        return time.monotonic()
