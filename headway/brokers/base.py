"""The contract of a broker: one class for the server's side, one for the worker's."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headway.core.job import WakeUp
from headway.core.problem import Problem

WAKEUPS, REPORTS, DEAD_LETTERS = "headway.wakeups", "headway.reports", "headway.dead-letters"
"""What queues and topics are called."""


class Broker(ABC):
    """The server's side. Messages are acknowledged when read; nothing is held while a job runs.

    One that cannot be reached for a while delays: wake-ups come with heartbeats, reports are sent again by the workers.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the broker is wrong or cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    async def problems(self) -> list[Problem]:
        """What is misconfigured, for `headway doctor`. Raises Unavailable."""
        return []

    @abstractmethod
    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        """Tell a worker to look at its assignment. It may never arrive: heartbeats carry the same."""

    @abstractmethod
    async def reports(self, maximum: int) -> tuple[list[bytes], int]:
        """Wait for reports, then take up to `maximum` of those that are there, with the position behind them."""

    @property
    @abstractmethod
    def taken(self) -> int:
        """The position behind the last report that `reports` gave; before the first, where reading begins."""

    @abstractmethod
    async def position(self) -> int:
        """Where the stream of reports ends now; grows with each report."""

    @abstractmethod
    async def dead_letter(self, body: bytes) -> None:
        """Put aside what cannot be read, for people to look at. It never comes back as a report."""


class WorkerBroker(ABC):
    """The worker's side."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises Unavailable."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    async def wakeup(self) -> WakeUp:
        """The next wake-up. Raises Unavailable when the connection is gone."""

    @abstractmethod
    async def publish_report(self, body: bytes, job: str) -> None:
        """Send a report about a job. Raises Unavailable; having been sent is not having arrived."""
