"""A worker's heartbeats, and what it does when no server answers them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from headway.core.facts import Released
from headway.core.protocol import Heartbeat, HeartbeatAnswer, OpenAssignment, Timeouts
from headway.core.status import AssignmentState
from headway.errors import HeadwayError, Unavailable, WorkerLost
from headway.worker.assignments import Assignments
from headway.worker.heartbeat import HeartbeatLoop
from headway.worker.shutdown import LastWords
from tests.unit.worker.fake_attempt import KEY, Preparation, Ranks, Server, a_session, reported

pytestmark = pytest.mark.anyio
LISTED = OpenAssignment(job=KEY.job, attempt=KEY.attempt, state=AssignmentState.CLAIMED, ready=False)
FAST = Timeouts(heartbeat_seconds=0.01, lease_seconds=1.0, orphan_timeout_seconds=0.2, stop_grace_seconds=0.0)


class BeatingServer(Server):
    """A server that answers each heartbeat with one assignment, while `error` is None."""

    def __init__(self) -> None:
        super().__init__(unmet_claims=1_000)
        self.heard: list[Heartbeat] = []
        self.error: HeadwayError | None = None
        self.left = False

    async def heartbeat(self, heartbeat: Heartbeat, _patience_seconds: float) -> HeartbeatAnswer:
        self.heard.append(heartbeat)
        if self.error is not None:
            raise self.error
        return HeartbeatAnswer(counter=heartbeat.counter, assignments=(LISTED,))

    async def leave(self) -> None:
        self.left = True


class Worker:
    """A worker's heartbeats and assignments. It prepares one assignment, which then waits for the rest of its gang."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = BeatingServer()
        self.preparation = Preparation(home, Ranks())
        self.preparation.ready.clear()
        self.session = replace(a_session(home, self.server, self.preparation), timeouts=FAST)
        self.due, self.stopped = asyncio.Event(), asyncio.Event()
        self.assignments = Assignments(self.due)
        loop = HeartbeatLoop(self.session, self.assignments, due=self.due, stopped=self.stopped)
        self.beating = asyncio.create_task(loop.run())

    async def beats(self, count: int) -> Heartbeat:
        """Wait for `count` more heartbeats. Returns the last."""
        count += len(self.server.heard)
        async with asyncio.timeout(10):
            while len(self.server.heard) < count:
                await asyncio.sleep(0.001)
        return self.server.heard[-1]


@pytest.fixture
async def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_a_heartbeat_names_the_newest_answer_and_what_needs_time(worker: Worker) -> None:
    said = await worker.beats(5)
    assert worker.server.heard[0].last_answer == -1
    assert said.last_answer == said.counter - 1
    assert said.preparing == ((KEY.job, KEY.attempt),)
    assert said.streams == (KEY,)
    worker.preparation.ready.set()
    async with asyncio.timeout(10):
        while (await worker.beats(1)).preparing:
            pass  # now it waits only for others, not for its own work
    worker.beating.cancel()


async def test_ranks_without_a_server_end_after_their_time(worker: Worker) -> None:
    await worker.beats(3)
    worker.server.error = Unavailable("No server answers.")
    async with asyncio.timeout(10):
        while Released() not in reported(worker.home):
            await asyncio.sleep(0.01)
    assert not worker.beating.done(), "it still tries to reach a server"
    worker.beating.cancel()


async def test_a_lost_worker_learns_it_at_once(worker: Worker) -> None:
    worker.server.error = WorkerLost("Worker one was declared lost.")
    with pytest.raises(WorkerLost):
        await asyncio.wait_for(worker.beating, 10)


async def test_a_worker_that_shuts_down_says_so_and_leaves_once_nothing_is_left_to_send(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server that commits nothing, then the worker does not leave, because it has reports to send."""
    monkeypatch.setattr("headway.worker.shutdown._LAST_REPORTS_SECONDS", 0.05)
    assert not (await worker.beats(5)).leaving
    worker.stopped.set()
    outbox, connection = worker.session.outbox, worker.session.connection
    await LastWords(worker.assignments, outbox, connection, worker.due).shut_down(0.1)
    assert (await worker.beats(1)).leaving
    assert not worker.assignments.held()
    assert reported(worker.home)[-1] == Released()
    assert not worker.server.left
    worker.beating.cancel()
    sent = type(outbox)(lambda: None, outbox.counters)
    await LastWords(Assignments(worker.due), sent, connection, worker.due).shut_down(0.1)
    assert worker.server.left
