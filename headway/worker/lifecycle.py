"""Owns the course of one assignment: whoever changes it or waits for a change does so here."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from headway.worker import phase as rules
from headway.worker.phase import Course, Phase, StopRequest


class Lifecycle:
    """The rules are in `phase`; here are the clock, and those that wait. For the event loop's thread only."""

    def __init__(self) -> None:
        self.course = Course()
        self._news = asyncio.Event()
        self._stop_asked = asyncio.Event()

    @property
    def phase(self) -> Phase:
        """What is done now."""
        return self.course.phase

    @property
    def stop(self) -> StopRequest | None:
        """What was asked, if the ranks are to end."""
        return self.course.stop

    @property
    def worker_stops(self) -> bool:
        """Whether the ranks are to end because the worker shuts down."""
        return self.stop is not None and self.stop.worker_stops

    def enter(self, phase: Phase) -> None:
        """Enter a phase."""
        self.course = rules.enter(self.course, phase, time.monotonic())

    def launch(self) -> None:
        """The launcher has its plan."""
        self.course = rules.launch(self.course, time.monotonic())

    def ask_to_stop(self, request: StopRequest) -> None:
        """Have the ranks end."""
        self.course = rules.ask_to_stop(self.course, request, time.monotonic())
        self._stop_asked.set()
        self._news.set()

    def write_stacks(self) -> bool:
        """Have running ranks write their stacks. False if there are none, or they write already, or end."""
        before = self.course
        self.course = rules.write_stacks(before, time.monotonic())
        return self.course is not before

    def wake(self) -> None:
        """The server has news about the assignment."""
        self._news.set()

    async def wait_for_news(self) -> None:
        """Return when the server has news, or the ranks are to end. The next heartbeat's answer repeats what is new."""
        await self._news.wait()
        self._news.clear()

    async def wait_for_stop(self, seconds: float) -> None:
        """Return when the ranks are to end, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop_asked.wait()

    def out_of_time(self) -> bool:
        """Whether sending what the ranks left is to be broken off."""
        return time.monotonic() >= self.course.store_until
