"""Allocations: what a job gets from an engine, keeps over its attempts, and gives back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from headway.core import transitions
from headway.core.account import Rights
from headway.core.allocation import Observation, Over, SeatEndCause, SeatEnded, Waiting, WaitingCause
from headway.core.end_reason import EndReason
from headway.core.facts import Released
from headway.core.job import Job, JobSpec
from headway.core.protocol import Registration, SeatStart
from headway.core.status import JobStatus
from headway.core.worker import TakenSeat, WorkerDescription
from headway.engines.base import Abilities, AllocatingEngine, AllocationRequest, EngineSetup
from headway.errors import AllocationReleased, Conflict, HeadwayError, InvalidInput, SeatTaken, Unavailable
from headway.server.access import Caller, CallerKind
from headway.server.allocator import Allocator
from headway.server.change_listeners import connect_listeners
from headway.server.ids import draw_id
from headway.server.tokens import for_allocation
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio
USER = Caller(CallerKind.USER)


class ScriptedEngine(AllocatingEngine):
    """Writes down what it is asked; the test says what it observes."""

    name = "scripted"
    abilities = Abilities(
        whole_gangs=False, replaces_seats=True, resizes=False, expires=False, server_reaches_workers=False
    )

    def __init__(self, url: str = "") -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.requests: dict[str, AllocationRequest] = {}
        self.error: HeadwayError | None = None

    def _note(self, *asked: Any) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(asked)

    async def open(self, setup: EngineSetup) -> None: ...

    async def close(self) -> None: ...

    async def check(self, spec: JobSpec) -> None:
        if spec.world_size > 4:
            raise InvalidInput("world_size is too large for the scripted engine.")

    async def adopt(self, owned: Collection[AllocationRequest]) -> None:
        self._note("adopt", *(one.id for one in owned))

    async def request(self, request: AllocationRequest) -> None:
        self._note("request", request.id)
        self.requests[request.id] = request

    async def replace(self, allocation: str, seat: int, start: str | None) -> None:
        self._note("replace", allocation, seat, start)

    async def release(self, allocation: str) -> None:
        self._note("release", allocation)

    async def observe(self) -> AsyncIterator[Observation]:
        for one in ():
            yield one

    def taken(self) -> list[tuple[Any, ...]]:
        """What it was asked since the last call."""
        asked, self.asked = self.asked, []
        return asked


class Setting:
    """A server with a scripted engine."""

    def __init__(self, server: StillServer) -> None:
        self.server = server
        self.engine = ScriptedEngine()
        server.backends.engines["scripted"] = self.engine
        self.allocator = server.allocators["scripted"] = Allocator(
            self.engine,
            timeout_seconds=600,
            clock=server.clock,
            tokens=server.tokens,
            jobs=server.jobs,
            queue=server.queue,
            workers=server.workers,
        )
        connect_listeners(server)

    async def submit(self, world_size: int = 2, **spec: Any) -> Job:
        return await self.server.a_job(engine="scripted", world_size=world_size, **spec)

    async def join(self, job: Job, number: int, start: str, *, allocation: str | None = None, call: str = "") -> str:
        """A worker registers for a seat; its id."""
        description = WorkerDescription(name=f"seat-{number}", slots=1, threads_per_slot=1, host="127.0.0.1", port=9)
        seat = SeatStart(number=number, start=start, call=call or draw_id("c-"))
        registration = Registration(worker=description, seat=seat)
        caller = for_allocation(allocation or f"{job.id}-1")
        return (await self.server.workers.register(caller, registration)).id

    async def up(self, job: Job) -> list[str]:
        """All workers of the job register, and the job is placed on them and runs."""
        await self.allocator.look()
        workers = [await self.join(job, number, f"s{number}") for number in range(job.spec.world_size)]
        await self.server.scheduler.schedule()
        await self.server.run(await self.server.now(job))
        return workers

    async def sentence(self, job: Job) -> str:
        return (await self.server.explanations.explain(USER, "default", job.id)).sentence


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with still_server(tmp_path) as server:
        yield Setting(server)


async def test_a_job_waits_in_the_engines_words_and_is_then_placed_on_its_own_workers_only(setting: Setting) -> None:
    server = setting.server
    await server.a_worker("of-the-fleet", slots=8)
    job = await setting.submit()
    await setting.allocator.look()
    await server.scheduler.schedule()
    assert setting.engine.taken() == [("request", f"{job.id}-1")]
    assert await setting.sentence(job) == "Waiting for engine scripted: 0 of 2 workers are there."
    await setting.allocator.hear(Waiting(f"{job.id}-1", WaitingCause.ROOM, "No node has 4 processors free."))
    assert await setting.sentence(job) == "No node has 4 processors free."
    first = await setting.join(job, 0, "s0")
    await server.scheduler.schedule()
    assert (await server.now(job)).attempt is None, "half of its workers are there, and no attempt is used"
    of_the_fleet = await server.a_job(world_size=8)
    second = await setting.join(job, 1, "s1")
    await server.scheduler.schedule()
    assert await server.workers_of(job) == [first, second]
    assert await server.workers_of(of_the_fleet) == ["of-the-fleet"]
    assert (await server.now(job)).attempt_number == 1


async def test_the_newest_start_of_a_seat_ends_the_one_before_which_is_refused_then(setting: Setting) -> None:
    job = await setting.submit(1)
    await setting.allocator.look()
    former = await setting.join(job, 0, "first")
    newer = await setting.join(job, 0, "second", call="sent again")
    assert setting.server.registry.worker(former).lost_because == "a newer worker has its seat"
    with pytest.raises(SeatTaken, match="newer worker"):
        await setting.join(job, 0, "first")
    assert await setting.join(job, 0, "second", call="sent again") == newer, "it had no answer, and asked again"
    again = await setting.join(job, 0, "second")
    assert setting.server.registry.worker(newer).lost_because is not None, "its process registered again"
    with pytest.raises(SeatTaken, match="no seat 1"):
        await setting.join(job, 1, "other")
    await setting.server.scheduler.schedule()
    assert await setting.server.workers_of(job) == [again]


async def test_a_registration_that_is_sent_again_at_the_same_time_has_one_answer(setting: Setting) -> None:
    job = await setting.submit(1)
    await setting.allocator.look()
    sent = [setting.join(job, 0, "s", call="one") for _ in range(3)]
    assert len(set(await asyncio.gather(*sent))) == 1


async def test_seat_and_token_belong_together(setting: Setting) -> None:
    job = await setting.submit(1)
    await setting.allocator.look()
    description = WorkerDescription(name="w", slots=1, threads_per_slot=1, host="127.0.0.1", port=9)
    seat = SeatStart(number=0, start="s", call="c")
    with pytest.raises(InvalidInput):
        await setting.server.workers.register(for_allocation(f"{job.id}-1"), Registration(worker=description))
    with pytest.raises(InvalidInput):
        await setting.server.workers.register(Caller(CallerKind.JOIN), Registration(worker=description, seat=seat))
    with pytest.raises(AllocationReleased):
        await setting.join(job, 0, "s", allocation="j-unknown-1")


async def test_after_a_failure_survivors_keep_their_seats_and_only_what_is_missing_is_asked_for(
    setting: Setting,
) -> None:
    server = setting.server
    job = await setting.submit()
    survivor, lost = await setting.up(job)
    setting.engine.taken()
    told = SeatEnded(f"{job.id}-1", 1, "s1", SeatEndCause.OUT_OF_MEMORY, "Pod x was out of memory.", certain=True)
    await setting.allocator.hear(told)
    assert server.registry.worker(lost).lost_because == "Pod x was out of memory."
    await setting.allocator.look()
    assert setting.engine.taken() == [("replace", f"{job.id}-1", 1, "s1")]
    assert "Seat 1: Pod x was out of memory." in (await server.now(job)).warnings
    with pytest.raises(SeatTaken):
        await setting.join(job, 1, "s1")
    newer = await setting.join(job, 1, "s2")
    await server.report(await server.now(job), survivor, Released(), last=True)
    await server.pass_time(2)
    await server.scheduler.schedule()
    assert await server.workers_of(job) == [survivor, newer]
    assert (await server.now(job)).attempt_number == 2


async def test_an_end_that_is_not_certain_is_left_to_the_lease(setting: Setting) -> None:
    job = await setting.submit(1)
    (worker,) = await setting.up(job)
    told = SeatEnded(f"{job.id}-1", 0, "s0", SeatEndCause.NODE_LOST, "Node n does not answer.", certain=False)
    await setting.allocator.hear(told)
    assert setting.server.registry.worker(worker).lost_because is None
    assert "Seat 0: Node n does not answer." in (await setting.server.now(job)).warnings
    await setting.server.pass_time(11)
    assert setting.server.registry.worker(worker).lost_because is not None


async def test_paused_and_ended_jobs_give_their_machines_back(setting: Setting) -> None:
    server, user = setting.server, USER
    job = await setting.submit(1)
    (worker,) = await setting.up(job)
    setting.engine.taken()
    await server.job_control.pause(user, "default", job.id)
    await setting.allocator.look()
    assert setting.engine.taken() == [], "its ranks save first"
    await server.report(await server.now(job), worker, Released(), last=True)
    await setting.allocator.look()
    await setting.allocator.look()
    assert setting.engine.taken() == [("release", f"{job.id}-1")], "once"
    assert server.workers.released(worker)
    with pytest.raises(AllocationReleased):
        await setting.join(job, 0, "s9")
    await server.job_control.resume(user, "default", job.id)
    await setting.allocator.look()
    assert setting.engine.taken() == [("request", f"{job.id}-2")], "while the first is still being released"
    await server.job_control.cancel(user, "default", job.id)
    await setting.allocator.look()
    assert setting.engine.taken() == [("release", f"{job.id}-2")]
    assert (await server.now(job)).unsettled
    for number in (1, 2):
        await setting.allocator.hear(Over(f"{job.id}-{number}"))
    assert (await server.now(job)).releasing == ()


async def test_two_gangs_of_which_one_fits_do_not_keep_half_of_the_machines_each(setting: Setting) -> None:
    server = setting.server
    older, younger = await setting.submit(), await setting.submit()
    await setting.allocator.look()
    await setting.join(older, 0, "o0")
    await setting.join(younger, 0, "y0", allocation=f"{younger.id}-1")
    setting.engine.taken()
    for job in (older, younger):
        await setting.allocator.hear(Waiting(f"{job.id}-1", WaitingCause.ROOM, "Nothing is free."))
    await setting.allocator.look()
    assert setting.engine.taken() == [("release", f"{younger.id}-1")]
    assert (await server.now(younger)).attempt is None
    server.clock.seconds += 60
    await setting.allocator.look()
    assert setting.engine.taken() == [], "the older one still waits for room"
    assert await setting.sentence(younger) == f"Waiting for room at engine scripted, behind job {older.name}."
    await setting.join(older, 1, "o1")
    await setting.allocator.look()
    assert setting.engine.taken() == [("request", f"{younger.id}-2")]


async def test_an_allocation_that_holds_seats_for_too_long_gives_them_back_for_a_while(setting: Setting) -> None:
    job = await setting.submit()
    await setting.allocator.look()
    await setting.join(job, 0, "s0")
    await setting.allocator.hear(Waiting(f"{job.id}-1", WaitingCause.ROOM, "Nothing is free."))
    await setting.allocator.look()
    setting.engine.taken()
    setting.server.clock.seconds += 601
    await setting.allocator.look()
    assert setting.engine.taken() == [("release", f"{job.id}-1")]
    setting.server.clock.seconds += 16
    await setting.allocator.look()
    assert setting.engine.taken() == [("request", f"{job.id}-2")]


async def test_a_job_whose_workers_never_join_fails_in_the_engines_words(setting: Setting) -> None:
    job = await setting.submit(1)
    await setting.allocator.look()
    for start in ("a", "b", "c"):
        words = "Pod x ended with exit code 127: headway: not found."
        told = SeatEnded(f"{job.id}-1", 0, start, SeatEndCause.NOT_JOINED, words, certain=True)
        await setting.allocator.hear(told)
        await setting.allocator.look()
        setting.server.clock.seconds += 10
        await setting.allocator.look()
    job = await setting.server.now(job)
    assert (job.status, job.reason) == (JobStatus.FAILED, EndReason.ENVIRONMENT_FAILED)
    assert "headway: not found" in job.sentence
    assert [one[0] for one in setting.engine.taken()] == ["request", "replace", "replace", "release"]


async def test_an_engine_that_is_away_is_asked_again_and_the_job_says_so(setting: Setting) -> None:
    setting.engine.error = Unavailable("The cluster does not answer.")
    job = await setting.submit(1)
    await setting.allocator.look()
    assert await setting.sentence(job) == "The cluster does not answer."
    setting.engine.error = None
    await setting.allocator.look()
    assert setting.engine.taken() == [], "not at once"
    setting.server.clock.seconds += 2
    await setting.allocator.look()
    assert setting.engine.taken() == [("request", f"{job.id}-1")]


async def test_what_others_deleted_is_asked_for_under_a_new_id(setting: Setting) -> None:
    job = await setting.submit(1)
    (worker,) = await setting.up(job)
    await setting.allocator.hear(Over(f"{job.id}-1", "Job x was deleted by others."))
    assert setting.server.registry.worker(worker).lost_because == "Job x was deleted by others."
    setting.engine.taken()
    setting.server.clock.seconds += 2
    await setting.allocator.look()
    assert setting.engine.taken() == [("request", f"{job.id}-2")]


@pytest.mark.parametrize("phase", ["noted", "requested", "half up", "running", "seat lost", "released"])
async def test_a_server_that_dies_is_followed_by_one_that_adopts_what_is_there(tmp_path: Path, phase: str) -> None:
    async with AsyncExitStack() as stack:
        setting = Setting(await stack.enter_async_context(still_server(tmp_path)))
        server = setting.server
        job = await setting.submit()
        if phase == "noted":  # the row is written, the engine was not asked
            setting.engine.error = Unavailable("It dies here.")
        await setting.allocator.look()
        setting.engine.error = None
        first = setting.engine.requests.get(f"{job.id}-1")
        if phase == "half up":
            await setting.join(job, 0, "s0")
        if phase in ("running", "seat lost", "released"):
            workers = await setting.up(job)
        if phase == "seat lost":
            await server.workers.lose(workers[1], "the test says so")
        if phase == "released":
            for worker in workers:
                await server.jobs.update(job.id, lambda job, worker=worker: transitions.lose_worker(job, worker, 1.0))
            await server.job_control.cancel(USER, "default", job.id)
            await setting.allocator.look()
    async with still_server(tmp_path) as restarted:
        setting = Setting(restarted)
        await restarted.jobs.open()
        await restarted.queue.open()
        await restarted.workers.open()
        await setting.allocator._adopt()
        await setting.allocator.look()
        asked = setting.engine.taken()
        if phase == "released":
            assert asked == [("adopt",), ("release", f"{job.id}-1")]
            return
        again = ("replace", f"{job.id}-1", 1, "s1") if phase == "seat lost" else None
        assert asked == [("adopt", f"{job.id}-1"), ("request", f"{job.id}-1"), *([again] if again else [])]
        assert first in (None, setting.engine.requests[f"{job.id}-1"]), "the same token as before"


async def test_a_submission_is_checked_by_the_engine_it_names(setting: Setting) -> None:
    with pytest.raises(InvalidInput, match="engine is slurm, which this server does not have"):
        await setting.server.a_job(engine="slurm")
    with pytest.raises(InvalidInput, match="world_size is too large"):
        await setting.submit(5)
    with pytest.raises(InvalidInput, match="where chooses among the fleet's workers"):
        await setting.submit(where={"gpu": "a100"})
    assert await setting.server.jobs.named("default", "x") is None


async def test_a_worker_that_was_made_for_a_job_has_its_seat_and_is_not_drained(setting: Setting) -> None:
    job = await setting.submit(1)
    await setting.up(job)
    (worker,) = setting.server.workers.list_connected(USER)
    assert worker.seat == TakenSeat(job=job.id, allocation=f"{job.id}-1", number=0)
    (worker,) = setting.server.workers.list_connected(Caller(CallerKind.USER, user="u", rights=Rights("ann")))
    assert worker.seat is None, "of a job that the user may not see"
    with pytest.raises(Conflict, match="was made for one job"):
        await setting.server.workers.drain(USER, "seat-0", draining=True)


async def test_a_deleted_job_leaves_no_machines(setting: Setting) -> None:
    job = await setting.submit(1)
    await setting.allocator.look()
    await setting.server.job_control.cancel(USER, "default", job.id)
    setting.engine.error = Unavailable("The cluster does not answer.")
    await setting.allocator.look()
    await setting.server.jobs.delete(await setting.server.now(job))
    setting.engine.error = None
    setting.engine.taken()
    setting.server.clock.seconds += 5
    await setting.allocator.look()
    assert setting.engine.taken() == [("release", f"{job.id}-1")]
