"""Owns the course of one assignment: all changes of it, and all waits for a change, are here."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from headway.worker import phase as rules
from headway.worker.phase import Course, Phase, StopRequest


class Lifecycle:
    """The rules are in `phase`. This class adds the clock and waiting. Use it only in the event loop's thread."""

    def __init__(self) -> None:
        self.course = Course()
        self._news = asyncio.Event()
        self._stop_asked = asyncio.Event()

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self.course.phase

    @property
    def stop(self) -> StopRequest | None:
        """The stop request, if the ranks have to end."""
        return self.course.stop

    @property
    def worker_stops(self) -> bool:
        """Whether the ranks have to end because the worker shuts down."""
        return self.stop is not None and self.stop.worker_stops

    def enter(self, phase: Phase) -> None:
        """Enter a phase."""
        self.course = rules.enter(self.course, phase, time.monotonic())

    def launch(self) -> None:
        """The launcher has its plan."""
        self.course = rules.launch(self.course, time.monotonic())

    def ask_to_stop(self, request: StopRequest) -> None:
        """Note that the ranks have to end."""
        self.course = rules.ask_to_stop(self.course, request, time.monotonic())
        self._stop_asked.set()
        self._news.set()

    def write_stacks(self) -> bool:
        """Let running ranks write their stacks. False if none run, or they already write or end."""
        before = self.course
        self.course = rules.write_stacks(before, time.monotonic())
        return self.course is not before

    def wake(self) -> None:
        """Note that the server has news about the assignment."""
        self._news.set()

    async def wait_for_news(self) -> None:
        """Wait until the server has news, or the ranks have to end. The next heartbeat's answer repeats the news."""
        await self._news.wait()
        self._news.clear()

    async def wait_for_stop(self, seconds: float) -> None:
        """Wait until the ranks have to end, or until the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop_asked.wait()

    def out_of_time(self) -> bool:
        """Whether sending the ranks' outputs has to stop."""
        return time.monotonic() >= self.course.store_until
