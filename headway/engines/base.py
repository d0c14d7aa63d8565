"""The contract of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from headway.core.worker import Worker, WorkerDescription
from headway.errors import NotFound


class Engine(ABC):
    """Knows the workers and which of them may take assignments."""

    @abstractmethod
    async def open(self) -> None:
        """Learn what workers there are."""

    @abstractmethod
    async def register(self, worker_id: str, description: WorkerDescription, former: str | None, now: float) -> Worker:
        """Take a worker in under a new id. `former` is the id of its start before, which the caller has ended."""

    @abstractmethod
    async def lose(self, worker_id: str, because: str, now: float) -> bool:
        """Give a worker up for good; False if it was lost already. Raises NotFound."""

    @abstractmethod
    async def drain(self, worker_id: str, *, draining: bool) -> None:
        """Let a worker take assignments no more, or again. Raises NotFound, Conflict for a lost one."""

    @abstractmethod
    async def judge(self, worker_id: str, change: Callable[[Worker], Worker]) -> Worker:
        """The worker with its faults and quarantine changed. Raises NotFound, Conflict for a lost one."""

    @abstractmethod
    def worker(self, worker_id: str) -> Worker:
        """The worker, also a lost one of this process's life. Raises NotFound."""

    def lives_of(self, worker_id: str) -> frozenset[str]:
        """The worker's id and those that it had in former lives, as far as they are known."""
        ids: set[str] = set()
        current: str | None = worker_id
        while current is not None and current not in ids:
            ids.add(current)
            try:
                current = self.worker(current).former
            except NotFound:
                break
        return frozenset(ids)

    @abstractmethod
    def workers(self) -> list[Worker]:
        """The workers that are not lost, by name. Those that drain take no assignments."""
