"""Workers on the server's own machine, started for each job: `local:`, or `local:?slots=8`."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Collection, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from headway.core.allocation import Observation, Over, SeatEndCause, SeatEnded, SeatUp, Waiting, WaitingCause
from headway.core.allocation_transitions import seats_of
from headway.core.job import JobSpec
from headway.engines.base import Abilities, AllocatingEngine, AllocationRequest, EngineSetup
from headway.engines.local_process import end, ended, find_workers, last_line, start_worker
from headway.errors import InvalidInput, SettingInvalid
from headway.private_files import private_home

_GRACE_SECONDS = 30.0
_LARGEST_SLOTS = 4096


@dataclass
class _Seat:
    """A start of a seat. Its folder is named by the start, so that another server finds its process by the home."""

    number: int
    start: str
    home: Path
    process: psutil.Process
    watch: asyncio.Task[int | None]


@dataclass
class _Allocation:
    request: AllocationRequest
    seats: dict[int, _Seat] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        return self.request.seats * self.request.slots_per_seat


class LocalEngine(AllocatingEngine):
    """Each job gets worker processes of its own, on the processors of this machine, and leaves nothing running.

    Allocations are granted whole, in the order in which they were asked for, as long as slots are free.
    """

    name = "local"
    abilities = Abilities(
        whole_gangs=True, replaces_seats=True, resizes=False, expires=False, server_reaches_workers=True
    )

    def __init__(self, url: str) -> None:
        """`slots`: ranks of all jobs at the same time; by default the processors of this machine."""
        query = parse_qs(urlsplit(url).query, keep_blank_values=True)
        slots = query.pop("slots", [str(_processors())])[-1]
        if query or not slots.isdecimal() or not 1 <= int(slots) <= _LARGEST_SLOTS:
            raise SettingInvalid(f"HEADWAY_ENGINE_URLS has {url}: give local: or local:?slots=NUMBER.")
        self._slots = int(slots)
        self._granted: dict[str, _Allocation] = {}
        self._waiting: dict[str, AllocationRequest] = {}
        self._observed: asyncio.Queue[Observation] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, setup: EngineSetup) -> None:
        """Make the folder of the workers' homes."""
        self._setup = setup
        try:
            private_home(setup.folder, ("j-*",))
        except OSError as error:
            raise SettingInvalid(f"The folder {setup.folder} of engine local cannot be used: {error}") from error

    async def close(self) -> None:
        """Stop to watch. The workers stay."""
        watches = [seat.watch for one in self._granted.values() for seat in one.seats.values()]
        for task in (*self._tasks, *watches):
            task.cancel()
        await asyncio.gather(*self._tasks, *watches, return_exceptions=True)

    async def check(self, spec: JobSpec) -> None:
        """Refuse what is larger than this machine. Raises InvalidInput."""
        if spec.pod is not None:
            raise InvalidInput("pod: engine local makes no pods. Leave it out, or add `engine: kubernetes`.")
        seats, slots = seats_of(spec)
        if seats * slots > self._slots:
            raise InvalidInput(
                f"world_size needs {seats * slots} slots; engine local has {self._slots} on this machine."
            )

    async def adopt(self, owned: Collection[AllocationRequest]) -> None:
        """Find the processes that an earlier server left, by their homes; end those whose allocation has no owner."""
        running = find_workers(self._setup.folder)
        wanted = {request.id: request for request in owned}
        for folder in sorted(self._setup.folder.iterdir()):
            homes = [home for home in folder.glob("*/*") if str(home) in running]
            request = wanted.get(folder.name)
            if request is None:
                self._begin(self._end_strangers([running[str(home)] for home in homes], folder))
                continue
            held = self._granted[request.id] = _Allocation(request)
            for number in range(request.seats):
                starts = [home for home in homes if home.parent.name == str(number)]
                for home in starts:
                    self._watch(held, number, home, running[str(home)])
                if not starts:
                    self._tell_absent(held, number)

    def _tell_absent(self, held: _Allocation, number: int) -> None:
        """A seat whose process ended while no server watched, or was never started."""
        homes = [one for one in (self._folder(held.request) / str(number)).glob("*") if one.is_dir()]
        starts = sorted(homes, key=lambda one: one.stat().st_mtime)
        start = starts[-1].name if starts else ""
        self._observed.put_nowait(
            SeatEnded(
                held.request.id, number, start, SeatEndCause.EXITED, "Its process ended without a server.", certain=True
            )
        )

    async def request(self, request: AllocationRequest) -> None:
        """Start the workers, once there is room for all of them."""
        if request.id not in self._granted:
            self._waiting.setdefault(request.id, request)
            await self._grant()

    async def _grant(self) -> None:
        for request in list(self._waiting.values()):
            held = _Allocation(request)
            free = self._slots - sum(one.slots for one in self._granted.values())
            if held.slots > free:
                words = f"Engine local has {free} of {self._slots} slots free; the job needs {held.slots}."
                self._observed.put_nowait(Waiting(request.id, WaitingCause.ROOM, words))
                return
            del self._waiting[request.id]
            self._granted[request.id] = held
            folder = self._folder(request)
            folder.mkdir(mode=0o700, exist_ok=True)
            token = folder / "token"
            token.touch(mode=0o600)
            token.write_text(request.token)
            for number in range(request.seats):
                await self._start(held, number)

    async def _start(self, held: _Allocation, number: int) -> None:
        request, start = held.request, secrets.token_hex(8)
        home = self._folder(request) / str(number) / start
        home.mkdir(mode=0o700, parents=True)
        arguments = {
            "--server": self._setup.server_url,
            "--home": str(home),
            "--token-file": str(self._folder(request) / "token"),
            "--name": f"{request.id}-{number}",  # the job's name is for users of its project only
            "--slots": str(request.slots_per_seat),
            "--seat": str(number),
            "--start": start,
            "--grace-seconds": str(_GRACE_SECONDS),
        }
        line = ["--allocation", *(word for pair in arguments.items() for word in pair)]
        process = await start_worker(line, self._log(home))
        self._watch(held, number, home, process)

    def _watch(self, held: _Allocation, number: int, home: Path, process: psutil.Process) -> None:
        watch = asyncio.create_task(ended(process))
        seat = _Seat(number, home.name, home, process, watch)
        held.seats[number] = seat
        self._observed.put_nowait(SeatUp(held.request.id, number, seat.start))
        watch.add_done_callback(lambda task: self._note_end(held.request.id, seat, task))

    def _note_end(self, allocation: str, seat: _Seat, watch: asyncio.Task[int | None]) -> None:
        if watch.cancelled():
            return
        code = watch.result()
        how = "ended" if code is None else f"ended with {'signal' if code < 0 else 'exit code'} {abs(code)}"
        words = f"Its worker, process {seat.process.pid}, {how}: {last_line(self._log(seat.home))}"
        told = SeatEnded(allocation, seat.number, seat.start, SeatEndCause.EXITED, words, certain=True)
        self._observed.put_nowait(told)

    async def replace(self, allocation: str, seat: int, start: str | None) -> None:
        """Kill what is left of that start, and start the seat again."""
        held = self._granted.get(allocation)
        if held is None:
            return
        present = held.seats.get(seat)
        if present is not None and not present.watch.done():
            if present.start != start:
                return
            await self._end(present, 0.0)
        await self._start(held, seat)

    async def release(self, allocation: str) -> None:
        """End the workers in the background: they send their last reports first."""
        self._waiting.pop(allocation, None)
        held = self._granted.get(allocation)
        self._begin(self._release(allocation, list(held.seats.values()) if held is not None else []))

    async def _release(self, allocation: str, seats: list[_Seat]) -> None:
        await asyncio.gather(*(self._end(seat, _GRACE_SECONDS) for seat in seats))
        await asyncio.to_thread(shutil.rmtree, self._setup.folder / allocation, ignore_errors=True)
        self._granted.pop(allocation, None)
        self._observed.put_nowait(Over(allocation))
        await self._grant()

    async def _end(self, seat: _Seat, grace_seconds: float) -> None:
        await end(seat.process, grace_seconds, lambda: seat.watch)

    async def _end_strangers(self, processes: list[psutil.Process], folder: Path) -> None:
        for process in processes:
            watch = asyncio.ensure_future(ended(process))
            await end(process, 0.0, lambda watch=watch: watch)  # type: ignore[misc]
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def observe(self) -> AsyncIterator[Observation]:
        """What happens to the processes."""
        while True:
            yield await self._observed.get()

    def _folder(self, request: AllocationRequest) -> Path:
        return self._setup.folder / request.id

    @staticmethod
    def _log(home: Path) -> Path:
        return home.with_name(f"{home.name}.log")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
