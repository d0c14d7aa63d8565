"""A worker starts, stops and forgets assignments when the server says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from headway.core.facts import Released
from headway.core.protocol import AssignmentKey, CommittedStream, HeartbeatAnswer, OpenAssignment
from headway.core.status import AssignmentState
from headway.worker.assignments import Assignments
from headway.worker.attempt_files import attempt_folder
from headway.worker.phase import StopRequest
from headway.worker.session import Session
from headway.worker.spool import stream_folder
from tests.unit.worker.fake_attempt import KEY, Preparation, Ranks, Server, a_session, reported

pytestmark = pytest.mark.anyio


class Fleet:
    """The assignments of one worker, and the answers of its server."""

    def __init__(self, home: Path, server: Server) -> None:
        self.home = home
        self.preparation = Preparation(home, Ranks())
        self.session: Session = a_session(home, server, self.preparation)
        self.assignments = Assignments(asyncio.Event())

    async def told(self, *listed: OpenAssignment, committed: int | None = -1) -> None:
        """Give the server's answer: assignments, and the number up to which reports are committed (-1: left out)."""
        streams = () if committed == -1 else (CommittedStream(stream=KEY, through=committed),)
        answer = HeartbeatAnswer(counter=1, assignments=listed, committed=streams)
        await self.assignments.follow(self.session, answer, self.assignments.held())

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not what():
                await asyncio.sleep(0.001)


def listed(state: AssignmentState = AssignmentState.OFFERED, *, key: AssignmentKey = KEY) -> OpenAssignment:
    return OpenAssignment(job=key.job, attempt=key.attempt, state=state, ready=False)


async def test_an_ended_assignment_is_forgotten_with_its_files_once_all_is_committed(tmp_path: Path) -> None:
    """Given an attempt being prepared, when the server no longer lists it, then it ends and leaves no files."""
    fleet = Fleet(tmp_path, Server(unmet_claims=9))
    await fleet.told(listed())
    await fleet.until(lambda: bool(fleet.assignments.held()))
    await fleet.told()
    await fleet.until(lambda: Released() in reported(tmp_path))
    await fleet.until(lambda: not fleet.assignments.held())
    assert fleet.assignments.any(), "its reports are not committed"
    await fleet.told(committed=100)
    assert not fleet.assignments.any()
    await fleet.until(lambda: not attempt_folder(tmp_path, KEY).exists())
    assert not stream_folder(tmp_path, KEY).exists()


@pytest.mark.parametrize("why", ["no slots", "no place for reports"])
async def test_a_refused_assignment_leaves_no_files(tmp_path: Path, why: str) -> None:
    server = Server(rank_count=3 if why == "no slots" else 1)
    if why == "no place for reports":
        (tmp_path / "spool").write_text("no folder")
    fleet = Fleet(tmp_path, server)
    await fleet.told(listed())
    await fleet.until(lambda: bool(server.refused))
    await fleet.until(lambda: not fleet.assignments.any())
    await fleet.until(lambda: not attempt_folder(tmp_path, KEY).exists())


async def test_an_assignment_of_a_deleted_job_leaves_no_files(tmp_path: Path) -> None:
    """Given a job that was deleted while the worker prepared it, when it has ended, its spool is deleted as well."""
    fleet = Fleet(tmp_path, Server())
    fleet.preparation.ready.clear()
    await fleet.told(listed())
    await fleet.until(lambda: bool(fleet.assignments.held()))
    await fleet.told(committed=None)
    await fleet.until(lambda: not fleet.assignments.any())
    await fleet.until(lambda: not stream_folder(tmp_path, KEY).exists())
    assert not attempt_folder(tmp_path, KEY).exists()


async def test_ranks_that_this_worker_never_started_are_reported_as_ended(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, Server())
    for _ in range(2):
        await fleet.told(listed(AssignmentState.STOPPING))
    assert reported(tmp_path) == [Released()]
    assert not fleet.assignments.any()


async def test_all_assignments_end_when_the_worker_does(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, Server(unmet_claims=9))
    other = KEY.model_copy(update={"job": "j-2"})
    fleet.preparation.ready.clear()
    await fleet.told(listed(), listed(key=other))
    await fleet.until(lambda: len(fleet.assignments.held()) == 2)
    async with asyncio.timeout(10):
        await fleet.assignments.end_all(StopRequest(0.0, store_seconds=0.0))
    assert not fleet.assignments.held()
    assert fleet.session.slots.take(2) is not None
