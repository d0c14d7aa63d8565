"""Which workers are alive, by their heartbeats and the server's monotonic clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headway.server.clock import Clock


@dataclass
class _Beat:
    confirmed: int
    changed_at: float
    answering: int = 0
    preparing: frozenset[tuple[str, int]] = frozenset()


class Leases:
    """A heartbeat is a counter, and its answer carries the same number.

    A worker is alive while it acknowledges newer answers, which proves that both directions work. A worker that
    acknowledges none for a lease is silent.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._beats: dict[str, _Beat] = {}

    def watch(self, worker: str) -> None:
        """Start to expect heartbeats of the worker."""
        self._beats[worker] = _Beat(confirmed=-1, changed_at=self._clock.monotonic())

    def forget(self, worker: str) -> None:
        """Stop expecting heartbeats of the worker."""
        self._beats.pop(worker, None)

    def heartbeat(self, worker: str, last_answer: int, preparing: frozenset[tuple[str, int]]) -> None:
        """Note a heartbeat. `last_answer` is the newest answer that the worker has received."""
        beat = self._beats.get(worker)
        if beat is None:
            return
        beat.preparing = preparing
        if last_answer > beat.confirmed:
            beat.confirmed = last_answer
            beat.changed_at = self._clock.monotonic()

    @contextmanager
    def answering(self, worker: str) -> Iterator[None]:
        """While the server answers a heartbeat, the worker is not silent. If answering fails or takes long, the worker
        gets a full term.

        A server whose database is down cannot answer, and it recovers before the workers notice.
        """
        beat = self._beats.get(worker)
        if beat is None:
            yield
            return
        began_at = self._clock.monotonic()
        beat.answering += 1
        answered = False
        try:
            yield
            answered = self._clock.monotonic() - began_at < self._lease_seconds / 4
        finally:
            beat.answering -= 1
            if not answered:
                beat.changed_at = self._clock.monotonic()

    def prepares(self, worker: str, job: str, attempt: int) -> bool:
        """Whether the worker said recently that it prepares an attempt, or stores the files of its ranks."""
        beat = self._beats.get(worker)
        return beat is not None and (job, attempt) in beat.preparing

    def silent_seconds(self, worker: str) -> float | None:
        """How long the worker has been silent; None if it is not watched."""
        beat = self._beats.get(worker)
        return None if beat is None else self._clock.monotonic() - beat.changed_at

    def silent(self) -> list[str]:
        """Workers whose lease has run out."""
        now = self._clock.monotonic()
        return [
            worker
            for worker, beat in self._beats.items()
            if not beat.answering and now - beat.changed_at > self._lease_seconds
        ]

    def grant_all(self) -> None:
        """Give every worker a full term from now."""
        for beat in self._beats.values():
            beat.changed_at = self._clock.monotonic()
