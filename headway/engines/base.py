"""The contract of an engine: where the workers of a job come from.

An engine decides for each job whether it can have workers (`check`). The fleet needs only this: its jobs are placed on
workers that registered themselves. Other engines request and release allocations: the machines of one job.

The life of an allocation:

1. The server stores the allocation with the job, then calls `request`. If the server dies in between, the next one
   calls `request` again, so it is idempotent by the allocation's id.
2. The engine starts a machine per seat, numbered from 0. Each runs, until it is told to end:

       headway worker --allocation --seat NUMBER --start START --server URL --token-file FILE --home FOLDER
                      --slots SLOTS_PER_SEAT [--grace-seconds SECONDS]

   START names this start of the seat: a text that no other start of the seat ever has, such as a pod's uid. FILE
   contains the request's token. `--grace-seconds` is the machine's time from SIGTERM to SIGKILL.
3. The worker registers with token, seat and start. The newest start of a seat ends the earlier ones; an earlier start
   that registers again is refused. Once all seats are up, the server places the job on them, as on the fleet.
4. The engine reports what it observes. It never ends a job, and restarts nothing without a request. The lease decides
   whether a worker is lost, unless the engine is certain that its processes have ended.
5. The server calls `replace` for a seat whose worker is lost. It calls `release` once the job has ended, is paused or
   releases the allocation. The engine reports `Over` when nothing of it exists any more.

The worker exits with 0 only after its allocation was released. It exits with 75 when it was told to end earlier, and
with another code when it could not join or failed. So a seat that was not released never exits with 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from headway.core.allocation import Observation
from headway.core.job import JobSpec
from headway.core.problem import Problem


@dataclass(frozen=True)
class EngineSetup:
    """The arguments with which an engine is opened.

    `installation`: the id of this installation. The engine marks its objects with it, so that two installations in one
    cluster do not disturb each other. `server_url`: where workers reach the server, unless the engine's own settings
    name another URL. `folder`: for the engine's own files; it may not exist yet.
    """

    installation: str
    server_url: str
    folder: Path


@dataclass(frozen=True)
class AllocationRequest:
    """The machines that a job needs. The same id always comes with the same request.

    `id`: a DNS label of at most 40 characters that no other allocation ever has. `token`: the secret with which the
    allocation's workers join; it is valid until the allocation is released.
    """

    id: str
    job: str
    job_name: str
    project: str
    spec: JobSpec
    seats: int
    slots_per_seat: int
    token: str = field(repr=False)


@dataclass(frozen=True)
class Abilities:
    """The capabilities of an engine."""

    whole_gangs: bool
    """It grants all seats of an allocation or none. Otherwise the server prevents that two allocations which do not fit
    together each keep half of the machines."""
    replaces_seats: bool
    """It can start one seat again (`replace`). Otherwise the whole allocation is released and requested again."""
    resizes: bool
    """Seats can be added and released one by one."""
    expires: bool
    """It may end an allocation by itself after a time."""
    server_reaches_workers: bool
    """The server can connect to the workers' ports: a worker whose port refuses has ended. Otherwise the lease
    decides."""


class Engine(ABC):
    """An engine with the name that jobs request, `engine: NAME`."""

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, url: str) -> None:
        """`url`: from HEADWAY_ENGINE_URLS; its scheme is the name. Does not connect yet. Raises SettingInvalid."""

    @abstractmethod
    async def check(self, spec: JobSpec) -> None:
        """Check whether a job can ever have workers here, at its submission or dry run. Changes nothing.

        Raises InvalidInput, which names the field and what to do; Unavailable when the engine is unreachable.
        """

    async def problems(self, server_url: str) -> list[Problem]:
        """Configuration problems, for `headway doctor`. It works without `open` and changes nothing.

        `server_url`: where the server says that workers reach it. Raises Unavailable, SettingInvalid.
        """
        return []


class AllocatingEngine(Engine):
    """An engine that creates workers for each job.

    Only the leading server calls the methods, from one event loop. `request`, `replace` and `release` return once the
    engine has accepted the order, not once it is done. Each may be called again at any time with the same arguments and
    then changes nothing. They raise Unavailable when the engine is unreachable, and InvalidInput when it refuses: the
    server shows the sentence as the reason why the job waits, and tries again later.
    """

    abilities: ClassVar[Abilities]

    @abstractmethod
    async def open(self, setup: EngineSetup) -> None:
        """Get ready. Raises SettingInvalid when the engine's settings are wrong or it refuses this server. If it does
        not answer, the server still starts and waits for it later."""

    @abstractmethod
    async def close(self) -> None:
        """Close connections. Allocations stay."""

    @abstractmethod
    async def adopt(self, owned: Collection[AllocationRequest]) -> None:
        """Called first, at the start and after a change of leader: look at the allocations with this installation's
        mark and release those that are not in `owned`. Owned ones are kept. The server then calls `request` for all
        owned ones, which creates those that do not exist. Raises Unavailable: then the server tries again."""

    @abstractmethod
    async def request(self, request: AllocationRequest) -> None:
        """Create the missing seats of the allocation. Existing seats are not changed, whatever their state."""

    @abstractmethod
    async def replace(self, allocation: str, seat: int, start: str | None) -> None:
        """The worker of a seat is lost, or never came. End the rest of that start, and start the seat again. Does
        nothing if another start of the seat already exists. `start` is None if the server knows none."""

    @abstractmethod
    async def release(self, allocation: str) -> None:
        """End the whole allocation and let nothing of it start. `Over` is reported once nothing of it exists, also for
        an allocation that never existed."""

    @abstractmethod
    def observe(self) -> AsyncIterator[Observation]:
        """The observations of the allocations, without end: first the state of each adopted one, then each change. It
        does not raise while the engine is unreachable. It continues later, with the changes that it missed."""

    def competes(self, spec: JobSpec) -> str:
        """Jobs with the same text here need machines of the same kind. While one of them waits for free machines, later
        jobs in the queue are not requested. By default this holds for all of the engine's jobs."""
        return ""
