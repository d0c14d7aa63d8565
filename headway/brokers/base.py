"""The contract of a broker: one class for the server's side, one for the worker's."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headway.core.job import WakeUp


class Broker(ABC):
    """The server's side. Messages are acknowledged when read; nothing is held while a job runs."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the broker is wrong or cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        """Tell a worker to look at its assignment. It may never arrive: heartbeats carry the same."""

    @abstractmethod
    async def reports(self, maximum: int) -> tuple[list[bytes], int]:
        """Wait for reports, then take up to `maximum` of those that are there, with the position behind them."""

    @abstractmethod
    def position(self) -> int:
        """Where the stream of reports ends now; grows with each report."""


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
    async def publish_report(self, body: bytes) -> None:
        """Send a report. Raises Unavailable; having been sent is not having arrived."""
