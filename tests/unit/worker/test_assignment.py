"""One assignment goes through its phases, whatever requests come and whatever fails."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headway.core.facts import (
    OutputsStored,
    PrepareFailed,
    RankEnded,
    RankStarted,
    Released,
    WorkerFailed,
    WorkerStopping,
    WorkingDirectoryReady,
)
from headway.core.protocol import Claimed
from headway.errors import AnswerUnreadable, CannotStartRanks, EnvironmentFailed
from headway.rank_protocol.launcher_messages import Stop
from headway.worker import assignment as assignment_module
from headway.worker import attendance as attendance_module
from headway.worker.assignment import RunningAssignment
from headway.worker.outputs import Stored
from headway.worker.phase import Phase, StopRequest
from tests.unit.worker.fake_attempt import KEY, Preparation, Ranks, Server, a_session, reported

pytestmark = pytest.mark.anyio
CANCEL = StopRequest(5.0)
KILL = StopRequest(0.0, store_seconds=0.0)
SHUT_DOWN = StopRequest(20.0, store_seconds=20.0, worker_stops=True)


class Attempt:
    """An assignment with its surroundings."""

    def __init__(self, home: Path, server: Server) -> None:
        self.home = home
        self.server = server
        self.ranks = Ranks()
        self.preparation = Preparation(home, self.ranks)
        self.session = a_session(home, server, self.preparation)
        self.assignment = RunningAssignment(self.session, KEY.job, KEY.attempt)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it in the background. In the end it ends by itself, its slots are free, and nothing follows its last
        report.
        """
        run = asyncio.create_task(self.assignment.run())
        try:
            async with asyncio.timeout(20):
                yield
                await run
        finally:
            run.cancel()
        assert self.assignment.phase is Phase.ENDED
        assert self.session.slots.take(2) is not None
        if not self.server.refused:
            assert reported(self.home)[-1] == Released()

    async def reach(self, phase: Phase) -> None:
        """Wait until it is in this phase."""
        while self.assignment.phase is not phase:
            await asyncio.sleep(0.001)


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    async def store_results(*_: object, **__: object) -> Stored:
        return Stored()

    monkeypatch.setattr(assignment_module, "store_results", store_results)
    return Attempt(tmp_path, Server(unmet_claims=1))


async def test_an_attempt_goes_through_all_phases(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Phase]] = []

    def note(where: str) -> None:
        seen.append((where, attempt.assignment.phase))

    async def store_results(*_: object, **__: object) -> Stored:
        note("store")
        return Stored()

    monkeypatch.setattr(assignment_module, "store_results", store_results)
    attempt.server.on = attempt.preparation.on = attempt.ranks.on = note
    async with attempt.running():
        await attempt.reach(Phase.MEETING)
        attempt.assignment.wake()
        await attempt.ranks.started()
        await attempt.reach(Phase.RUNNING)
        await attempt.ranks.ended()
    assert seen == [
        ("claim", Phase.CLAIMING),
        ("prepare", Phase.PREPARING),
        ("claim", Phase.MEETING),
        ("launch", Phase.LAUNCHING),
        ("store", Phase.STORING),
        ("release", Phase.RELEASING),
    ]
    facts = reported(attempt.home)
    assert facts[0] == WorkingDirectoryReady(fresh=True)
    assert OutputsStored() in facts


@pytest.mark.parametrize("request_", [CANCEL, KILL, SHUT_DOWN], ids=["cancel", "kill", "shut down"])
@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.MEETING])
async def test_an_attempt_that_has_to_stop_does_not_start_its_ranks(
    attempt: Attempt, phase: Phase, request_: StopRequest
) -> None:
    launched: list[str] = []
    attempt.ranks.on = launched.append
    if phase is Phase.PREPARING:
        attempt.preparation.ready.clear()
    async with attempt.running():
        await attempt.reach(phase)
        await attempt.assignment.stop(request_)
    assert not launched
    assert (WorkerStopping() in reported(attempt.home)) is request_.worker_stops


async def test_a_stop_request_during_the_launch_reaches_the_ranks(attempt: Attempt) -> None:
    def stop(_where: str) -> None:
        asked.append(asyncio.ensure_future(attempt.assignment.stop(CANCEL)))

    asked: list[asyncio.Future[None]] = []
    attempt.ranks.on = stop
    async with attempt.running():
        await attempt.reach(Phase.MEETING)
        attempt.assignment.wake()
        await attempt.ranks.started()
        assert await attempt.ranks.told() == Stop(5.0)
        assert attempt.assignment.phase is Phase.STOPPING
        await attempt.ranks.ended(stopped=True)


async def test_running_ranks_have_the_shortest_of_all_grace_times(attempt: Attempt) -> None:
    async with running(attempt):
        for request, grace_seconds in ((SHUT_DOWN, 20.0), (CANCEL, 5.0), (SHUT_DOWN, 5.0), (KILL, 0.0)):
            await attempt.assignment.stop(request)
            assert await attempt.ranks.told() == Stop(grace_seconds)
        await attempt.ranks.ended(stopped=True)
    (ended,) = (fact for fact in reported(attempt.home) if isinstance(fact, RankEnded))
    assert ended.stopped
    assert reported(attempt.home).count(WorkerStopping()) == 1


async def test_ranks_of_a_stalled_job_write_their_stacks_before_they_are_ended(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server that repeats its request with each heartbeat, then the stacks are written once and kept."""
    read: list[dict[int, int]] = []

    def read_stacks(_folder: Path, processes: dict[int, int]) -> dict[int, str]:
        read.append(processes)
        return {0: "Rank 0: in its loop\n"}

    monkeypatch.setattr(attendance_module, "read_stacks", read_stacks)
    monkeypatch.setattr(assignment_module, "_STACKS_SECONDS", 0.01)
    async with running(attempt):
        for _ in range(3):
            await attempt.assignment.stop_with_stacks(CANCEL)
            assert attempt.assignment.phase is Phase.WRITING_STACKS
        assert await attempt.ranks.told() == Stop(5.0)
        assert attempt.assignment.phase is Phase.STOPPING
        await attempt.ranks.ended(stopped=True)
    assert len(read) == 1
    (kept,) = attempt.home.glob("attempts/*/output/stacks/attempt-1.txt")
    assert kept.read_text() == "Rank 0: in its loop\n"


@asynccontextmanager
async def running(attempt: Attempt) -> AsyncIterator[None]:
    """Wait until its ranks run."""
    async with attempt.running():
        await attempt.reach(Phase.MEETING)
        attempt.assignment.wake()
        await attempt.ranks.started()
        while RankStarted not in map(type, reported(attempt.home)):
            await asyncio.sleep(0.001)
        yield


@pytest.mark.parametrize("cut_off", [False, True])
async def test_a_stopping_worker_reports_when_everything_is_stored(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, *, cut_off: bool
) -> None:
    """Given a worker that stops while it stores outputs, if it has enough time, a finished job is not run again."""
    storing = asyncio.Event()

    async def store_results(*_: object, out_of_time: Callable[[], bool], **__: object) -> Stored:
        storing.set()
        while cut_off and not out_of_time():
            await asyncio.sleep(0.001)
        return Stored(cut_off=cut_off)

    monkeypatch.setattr(assignment_module, "store_results", store_results)
    async with running(attempt):
        await attempt.ranks.ended()
        await storing.wait()
        await attempt.assignment.stop(StopRequest(20.0, store_seconds=0.05, worker_stops=True))
    assert (OutputsStored() in reported(attempt.home)) is not cut_off


async def test_a_defect_ends_its_attempt_with_the_cause_and_frees_the_slots(attempt: Attempt) -> None:
    def fail(_where: str) -> None:
        raise RuntimeError("unexpected")

    attempt.preparation.on = fail
    async with attempt.running():
        pass
    assert reported(attempt.home) == [WorkerFailed(error="RuntimeError: unexpected"), Released()]


async def test_an_environment_that_cannot_be_built_is_the_jobs_failure(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_where: str) -> None:
        raise EnvironmentFailed("no such package")

    monkeypatch.setattr(assignment_module, "_NOTICE_SECONDS", 0.01)
    attempt.preparation.on = fail
    async with attempt.running():
        pass
    assert reported(attempt.home) == [PrepareFailed(error="no such package", environment=True), Released()]


async def test_a_build_that_ended_with_the_worker_is_not_a_failure(attempt: Attempt) -> None:
    """Given a signal that ends a build, when the worker gets it right after, then the job is not blamed."""

    def fail(_where: str) -> None:
        raise EnvironmentFailed("uv was ended by SIGTERM")

    attempt.preparation.on = fail
    async with attempt.running():
        await attempt.reach(Phase.PREPARING)
        await attempt.assignment.stop(SHUT_DOWN)
    assert reported(attempt.home) == [WorkerStopping(), Released()]


async def test_a_forkserver_that_does_not_launch_ends_the_attempt_with_its_error(attempt: Attempt) -> None:
    def fail(_where: str) -> None:
        raise CannotStartRanks("the forkserver has just ended")

    attempt.ranks.on = fail
    async with attempt.running():
        await attempt.reach(Phase.MEETING)
        attempt.assignment.wake()
    (failed,) = (fact for fact in reported(attempt.home) if isinstance(fact, PrepareFailed))
    assert failed.error == "the forkserver has just ended"


# Refusals


async def test_an_attempt_with_more_ranks_than_free_slots_is_refused(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, Server(rank_count=3))
    async with attempt.running():
        pass
    assert attempt.server.refused == [(KEY.job, 1)]


@pytest.mark.parametrize("lacks", ["a second port", "any port"])
async def test_an_attempt_without_ports_for_its_ranks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Given a machine whose ports are all in use, when an attempt comes, then the server learns that at once."""

    bind_in_truth = socket.socket.bind

    def bind(one: socket.socket, address: tuple[str, int]) -> None:
        if lacks == "any port" or address[1] != 0:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        bind_in_truth(one, address)

    attempt = Attempt(tmp_path, Server())
    monkeypatch.setattr(socket.socket, "bind", bind)
    async with attempt.running():
        pass
    assert attempt.server.refused == [(KEY.job, 1)]


async def test_an_attempt_without_a_place_for_its_reports_is_refused(tmp_path: Path) -> None:
    """Given a home where no file can be created, when an attempt is claimed, it is refused and the slots are free."""
    (tmp_path / "spool").write_text("no folder")
    attempt = Attempt(tmp_path, Server())
    async with attempt.running():
        pass
    assert attempt.server.refused == [(KEY.job, 1)]
    assert not attempt.session.outbox.keys()


async def test_an_attempt_that_only_a_newer_worker_can_run_is_refused(tmp_path: Path) -> None:
    class NewerServer(Server):
        async def claim(self, *_: object) -> Claimed:
            raise AnswerUnreadable("a kind of work that this version does not have")

    attempt = Attempt(tmp_path, NewerServer())
    async with attempt.running():
        pass
    assert attempt.server.refused == [(KEY.job, 1)]
