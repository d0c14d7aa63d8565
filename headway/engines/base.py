"""The contract of an engine: where the workers of a job come from.

An engine says of each job whether it can have workers (`check`). The fleet needs no more: its jobs are placed on the
workers that registered by themselves. Other engines get and give back allocations, the machines of one job.

How an allocation passes, and who does what:

1. The server stores the allocation with the job, then calls `request`. A server that dies between the two calls it
   again, so it is idempotent by the allocation's id.
2. The engine starts a machine per seat, numbered from 0. Each runs, until it is told to end:

       headway worker --allocation --seat NUMBER --start START --server URL --token-file FILE --home FOLDER
                      --slots SLOTS_PER_SEAT [--grace-seconds SECONDS]

   START names this start of the seat: any text that no other start of the seat ever has, such as a pod's uid. The
   file has the request's token. `--grace-seconds` is the time from SIGTERM to SIGKILL that the machine gives.
3. The worker registers with token, seat and start. The newest start of a seat ends those before it; a former start that
   registers again is refused. Once all seats are up the server places the job on them, as on the fleet.
4. The engine tells what it observes; it never ends a job, and starts nothing again that it was not asked for.
   Whether a worker is lost is the lease's to decide, unless the engine is certain that its processes have ended.
5. The server calls `replace` for a seat whose worker is lost, and `release` once the job has ended, is paused or gives
   the allocation back. The engine tells `Over` when nothing is left.

The worker exits with 0 only after its allocation was released; with 75 when it was told to end before; with another
code when it could not join or failed. So an exit with 0 of a seat that was not released does not happen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from headway.core.allocation import Observation
from headway.core.job import JobSpec


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is given when it is opened.

    `installation`: the id of this installation, which marks what the engine makes, so that two installations in one
    cluster leave each other alone. `server_url`: where workers reach the server, unless the engine's own settings say
    otherwise. `folder`: for the engine's own files; it need not exist.
    """

    installation: str
    server_url: str
    folder: Path


@dataclass(frozen=True)
class AllocationRequest:
    """The machines that a job is to have. The same id always comes with the same request.

    `id`: a DNS label of at most 40 characters, which no other allocation ever has. `token`: with it the allocation's
    workers join; it is secret, and holds until the allocation is released.
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
    """What an engine can do with allocations."""

    whole_gangs: bool
    """It grants all seats of an allocation or none. Otherwise the server sees to it that two allocations of which
    either fits, but not both, do not keep half of the machines each."""
    replaces_seats: bool
    """It can start one seat again (`replace`). Otherwise the whole allocation is given back and asked for again."""
    resizes: bool
    """Seats can be added and given back one by one."""
    expires: bool
    """It may end an allocation by itself, when its time is over."""
    server_reaches_workers: bool
    """The server can connect to the workers' ports: one that refuses has ended. Otherwise the lease decides."""


class Engine(ABC):
    """An engine by the name that jobs ask for, `engine: NAME`."""

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, url: str) -> None:
        """`url`: from HEADWAY_ENGINE_URLS; its scheme is the name. Raises SettingInvalid. Nothing is reached yet."""

    @abstractmethod
    async def check(self, spec: JobSpec) -> None:
        """See whether a job can ever have workers here, when it is submitted or planned. Nothing is changed.

        Raises InvalidInput, which names the field and what to do; Unavailable where the engine cannot be asked.
        """


class AllocatingEngine(Engine):
    """An engine that makes workers for each job.

    All methods are called by the one server that leads, from one event loop. `request`, `replace` and `release` return
    once the engine has taken the order in, not once it is carried out; each may be called again with the same
    arguments at any time and then changes nothing. They raise Unavailable when the engine cannot be reached, and
    InvalidInput when it refuses: the server shows the sentence as the reason why the job waits, and tries again later.
    """

    abilities: ClassVar[Abilities]

    @abstractmethod
    async def open(self, setup: EngineSetup) -> None:
        """Get ready. Raises SettingInvalid when the engine's settings are wrong or it refuses this server; one that
        does not answer is waited for later, and ends no start."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections. What is allocated stays."""

    @abstractmethod
    async def adopt(self, owned: Collection[AllocationRequest]) -> None:
        """At the start and after a change of leader, before anything else is asked: look at what exists with this
        installation's mark. Release what is not in `owned`. What is owned and exists is kept; the server calls
        `request` for all of it afterwards, which makes what does not exist. Raises Unavailable: it is tried again."""

    @abstractmethod
    async def request(self, request: AllocationRequest) -> None:
        """See that all seats of the allocation exist or come. Nothing is done for what exists, in whatever state."""

    @abstractmethod
    async def replace(self, allocation: str, seat: int, start: str | None) -> None:
        """The worker of a seat is gone for good, or never came. End what is left of that start, and start the seat
        again. Nothing is done if another start of the seat exists already. `start` is None where the server knows of
        none."""

    @abstractmethod
    async def release(self, allocation: str) -> None:
        """End all of the allocation, and keep anything of it from starting. `Over` is observed once all is gone, also
        for one that does not exist."""

    @abstractmethod
    def observe(self) -> AsyncIterator[Observation]:
        """What happens to the allocations, for ever: first how each that was adopted stands, then each change. It
        does not raise while the engine is unreachable. It continues later, with the changes that it missed."""

    def competes(self, spec: JobSpec) -> str:
        """Jobs with the same text here want machines of the same kind: while one of them waits for room, those behind
        it in the queue are not requested. By default all of the engine's jobs do."""
        return ""
