"""The contract of a broker: one class for the server's side, one for the worker's."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headway.core.job import WakeUp
from headway.core.problem import Problem

WAKEUPS, REPORTS, DEAD_LETTERS = "headway.wakeups", "headway.reports", "headway.dead-letters"
"""The names of queues and topics."""


class Broker(ABC):
    """The server's side. Messages are acknowledged when they are read, not when a job ends.

    A broker that is unreachable only causes delays: heartbeats repeat wake-ups, and workers send reports again.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the broker is wrong or cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    async def problems(self) -> list[Problem]:
        """Configuration problems, for `headway doctor`. Raises Unavailable."""
        return []

    @abstractmethod
    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        """Tell a worker to look at its assignment. The message may be lost: heartbeats repeat it."""

    @abstractmethod
    async def reports(self, maximum: int) -> tuple[list[bytes], int]:
        """Wait for reports, then return up to `maximum` of them, and the position after them."""

    @property
    @abstractmethod
    def taken(self) -> int:
        """The position after the last report that `reports` returned; at first, where reading begins."""

    @abstractmethod
    async def position(self) -> int:
        """The end of the stream of reports now. It grows with each report."""

    @abstractmethod
    async def dead_letter(self, body: bytes) -> None:
        """Put an unreadable message aside, for people to look at. It never comes back as a report."""


class WorkerBroker(ABC):
    """The worker's side."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises Unavailable."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    @abstractmethod
    async def wakeup(self) -> WakeUp:
        """The next wake-up. Raises Unavailable when the connection is lost."""

    @abstractmethod
    async def publish_report(self, body: bytes, job: str) -> None:
        """Send a report about a job. Raises Unavailable. A sent report may still be lost."""
