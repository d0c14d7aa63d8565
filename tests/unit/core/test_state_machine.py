"""The guarantees of the protocol hold for all inputs in any order."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headway.core import transitions
from headway.core.checkpoint_transitions import release_checkpoints, use_checkpoints
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import (
    CheckpointDamaged,
    CheckpointNotSaved,
    CheckpointPartStored,
    CheckpointRestored,
    NeverMet,
    OutputsStored,
    PrepareFailed,
    RankEnded,
    RankFinished,
    RankStarted,
    Released,
    ResultStored,
    StageReached,
    Stalled,
    WorkerStopping,
)
from headway.core.job import Job, JobSpec
from headway.core.placement import Share, used_slots
from headway.core.status import ASSIGNMENT_TRANSITIONS, JOB_TRANSITIONS, JobStatus
from headway.errors import ClaimRefused, Conflict
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs
from tests.new_job import new_job
from tests.unit.shared_sqlite import SharedSqlite

T = TypeVar("T")

WORKERS = ("a", "b", "c")
FACTS = st.sampled_from(
    [
        RankStarted(rank=0, pid=1),
        RankFinished(rank=0),
        RankEnded(rank=0, at=0, exit_code=0, finished=True),
        RankEnded(rank=0, at=0, exit_code=1, error="E"),
        RankEnded(rank=0, at=0, signal="SIGKILL"),
        RankEnded(rank=0, at=0, signal="SIGKILL", step=4),
        Stalled(step=4, silent_seconds=9),
        Stalled(step=5, silent_seconds=9, absent_ranks=(1,)),
        RankEnded(rank=0, at=0, signal="SIGTERM", stopped=True),
        RankEnded(rank=0, at=0, exit_code=0, stopped=True, left=True, step=4),
        StageReached(stage="first_step", at=0, total_steps=4),
        ResultStored(result={}),
        RankEnded(rank=0, at=0, exit_code=1, error="peer", secondary=True),
        RankEnded(rank=0, at=0, signal="SIGKILL", out_of_memory=True),
        PrepareFailed(error="x"),
        PrepareFailed(error="x", environment=True),
        PrepareFailed(error="x", own_fault=True),
        NeverMet(),
        OutputsStored(),
        *(CheckpointPartStored(step=step, rank=rank) for step in (1, 2, 3) for rank in (0, 1, 2)),
        CheckpointNotSaved(step=2, rank=0, error="full"),
        CheckpointRestored(step=1),
        CheckpointDamaged(attempt=1, step=1, error="x"),
        OutputsStored(warning="x.bin was not stored"),
        WorkerStopping(),
    ]
)


class Store:
    """A real database, and the loop that asks it; for all examples."""

    def __init__(self) -> None:
        shared_memory = Path("/dev/shm")
        self._folder = TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None)
        self._loop = asyncio.new_event_loop()
        self.database = SharedSqlite(f"sqlite:///{self._folder.name}/headway.db")
        self.run(self.database.open())

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asked)

    def close(self) -> None:
        self.run(self.database.close())
        self.run(self._loop.shutdown_default_executor())
        self._loop.close()
        self._folder.cleanup()


class JobMachine(RuleBasedStateMachine):
    """One job that gets every input, in and out of order, from its current attempt and older ones. Every change is
    written to a real database by the server's own update and is read again. The server is sometimes restarted, and
    its former process may still write.
    """

    store: ClassVar[Store]

    def __init__(self) -> None:
        super().__init__()
        self.server = self.former_server = Jobs(self.store.database, Clock())
        spec = JobSpec(script="s.py", source="", world_size=3, retries=2)
        self.job = self.store.run(self.server.insert(new_job(spec)))
        self.seen: list[Job] = [self.job]
        self.numbers: dict[tuple[int, str], int] = {}

    def _become(self, transition: Callable[[Job], Job], server: Jobs | None = None) -> None:
        answered = self.store.run((server or self.server).update(self.job.id, transition))
        self.job = self.store.run(self.store.database.job(self.job.id))
        self.seen.append(self.job)
        assert self.job.version == answered.version, "the answer is not what is stored"

    @rule()
    def server_restarts(self) -> None:
        self.former_server, self.server = self.server, Jobs(self.store.database, Clock())
        self.store.run(self.server.open())

    @rule(worker=st.sampled_from(WORKERS))
    def former_server_still_writes(self, worker: str) -> None:
        self._become(lambda job: transitions.lose_worker(job, worker, 0), self.former_server)

    @rule(count=st.integers(1, 3))
    def place(self, count: int) -> None:
        sizes = {1: [3], 2: [2, 1], 3: [1, 1, 1]}[count]
        firsts = [sum(sizes[:n]) for n in range(count)]
        shares = [Share(WORKERS[n], WORKERS[n], firsts[n], sizes[n]) for n in range(count)]
        before = self.job
        self._become(lambda job: transitions.place(job, shares, 0))
        assert not before.hold or self.job == before, "a paused job was placed"

    @rule()
    def pause(self) -> None:
        with contextlib.suppress(Conflict):
            self._become(lambda job: transitions.pause(job, 0))

    @rule()
    def resume(self) -> None:
        with contextlib.suppress(Conflict):
            self._become(lambda job: transitions.resume(job, 0))

    @rule(worker=st.sampled_from(WORKERS))
    def drain_worker(self, worker: str) -> None:
        self._become(lambda job: transitions.drain_worker(job, worker, 0))

    @rule()
    def use_newest_checkpoint(self) -> None:
        keys = {one.key for one in self.job.checkpoints[-1:]}
        self._become(lambda job: use_checkpoints(job, "j-fork", keys, 0))

    @rule()
    def release_checkpoints(self) -> None:
        self._become(lambda job: release_checkpoints(job, "j-fork"))

    @rule()
    def time_out(self) -> None:
        self._become(lambda job: transitions.time_out(job, 0))

    @rule(worker=st.sampled_from(WORKERS), back=st.integers(0, 1))
    def claim(self, worker: str, back: int) -> None:
        with contextlib.suppress(ClaimRefused):
            self._become(lambda job: transitions.claim(job, job.attempt_number - back, worker, "h:1"))

    @rule(
        worker=st.sampled_from(WORKERS), back=st.integers(0, 1), facts=st.lists(FACTS, max_size=3), last=st.booleans()
    )
    def report(self, worker: str, back: int, facts: list[object], last: bool) -> None:
        attempt = self.job.attempt_number - back
        number = self.numbers[attempt, worker] = self.numbers.get((attempt, worker), 0) + 1
        sent = (*facts, Released()) if last else tuple(facts)
        before = self.job
        reported = [ReportedFacts(worker, number, sent, last)]
        self._become(lambda job: apply_facts(job, attempt, reported, 0))
        if back and attempt != before.attempt_number:
            assert self.job == before, "a stale attempt's facts were accepted"
        once = self.job
        self._become(lambda job: apply_facts(job, attempt, reported, 0))
        assert self.job == once, "a repeated report changed the job"

    @rule(worker=st.sampled_from(WORKERS))
    def lose(self, worker: str) -> None:
        self._become(lambda job: transitions.lose_worker(job, worker, 0))

    @rule(worker=st.sampled_from(WORKERS))
    def refuse(self, worker: str) -> None:
        self._become(lambda job: transitions.refuse(job, job.attempt_number, worker, 0))

    @rule(worker=st.sampled_from(WORKERS))
    def expire(self, worker: str) -> None:
        self._become(lambda job: transitions.expire(job, job.attempt_number, worker, 0))

    @rule()
    @precondition(lambda self: len(self.seen) > 20)
    def cancel(self) -> None:
        try:
            self._become(lambda job: transitions.cancel(job, 0))
        except Conflict:
            assert self.job.status.terminal

    @rule()
    def settle_streams(self) -> None:
        for number in self.job.settling:
            self._become(partial(transitions.streams_settled, number=number, missing_reports=0, now=0))

    @rule()
    def deliver(self) -> None:
        self.store.run(self.server.note_delivered(self.job, self.job.event_count, self.job.wakeups))
        self.job = self.store.run(self.store.database.job(self.job.id))
        self.seen.append(self.job)

    @invariant()
    def statuses_move_as_documented(self) -> None:
        if len(self.seen) < 2:
            return
        old, new = self.seen[-2], self.seen[-1]
        steps = _reachable(old.status, JOB_TRANSITIONS)
        assert new.status is old.status or new.status in steps
        if old.status.terminal:
            assert (new.status, new.reason, new.ended_at) == (old.status, old.reason, old.ended_at)

    @invariant()
    def assignments_move_as_documented(self) -> None:
        if len(self.seen) < 2 or self.seen[-1].attempt is None or self.seen[-2].attempt is None:
            return
        old, new = self.seen[-2].attempt, self.seen[-1].attempt
        assert new.number >= old.number
        if old.number == new.number:
            for before, after in zip(old.assignments, new.assignments, strict=True):
                assert after.state is before.state or after.state in _reachable(before.state, ASSIGNMENT_TRANSITIONS)

    @invariant()
    def an_ended_attempt_holds_no_slots(self) -> None:
        if self.job.status in (JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED):
            assert used_slots([self.job]) == {}

    @invariant()
    def success_means_that_all_ranks_finished(self) -> None:
        if self.job.status is JobStatus.SUCCEEDED:
            assert self.job.attempt.finished

    @invariant()
    def an_older_attempts_checkpoint_never_comes_behind_a_newer_ones(self) -> None:
        attempts = [one.attempt for one in self.job.checkpoints]
        assert attempts == sorted(attempts)

    @invariant()
    def the_newest_checkpoint_stays_until_a_newer_one_or_its_damage(self) -> None:
        if len(self.seen) < 2 or not self.seen[-2].checkpoints:
            return
        newest = self.seen[-2].checkpoints[-1].key
        told = [event.type for event in self.job.events if event.number > self.seen[-2].event_count]
        kept = newest in {one.key for one in self.job.checkpoints}
        assert kept or "checkpoint.damaged" in told or "checkpoint.committed" in told
        assert len([one for one in self.job.checkpoints if not one.users]) <= self.job.spec.checkpoints.keep_newest

    @invariant()
    def every_sentence_is_whole(self) -> None:
        """No sentence shows a placeholder, neither the job's nor that of an event, a warning or a decision."""
        attempt = self.job.attempt
        said = [self.job.sentence, *self.job.warnings, *(str(event.data) for event in self.job.events)]
        said += [attempt.decision or ""] if attempt else []
        names = ("rank", "worker", "exit_code", "signal", "step", "hint", "error", "sentence")
        assert not [text for text in said for name in names if f"{{{name}}}" in text]

    @invariant()
    def an_ended_job_is_not_on_hold(self) -> None:
        assert not (self.job.status.terminal and self.job.hold)

    @invariant()
    def retries_are_bounded(self) -> None:
        assert self.job.retries_used <= self.job.spec.retries

    @invariant()
    def a_workers_own_faults_cost_a_retry_only_again_and_again(self) -> None:
        if len(self.seen) < 2 or self.seen[-2].attempt is None or self.seen[-2].attempt.ended_at is not None:
            return
        old, new = self.seen[-2], self.seen[-1]
        ended = new.attempt is not None and new.attempt.number == old.attempt.number and new.attempt.reason
        if ended and ended.of_worker and new.status is JobStatus.QUEUED:
            faults = len(new.faulty_workers)
            assert faults == len(old.faulty_workers) + 1
            assert new.retries_used - old.retries_used == int(faults > 3 or len(set(new.faulty_workers)) > 2)

    @invariant()
    def events_are_numbered_without_gap(self) -> None:
        numbers = [event.number for event in self.job.events]
        assert numbers == list(range(self.job.event_count - len(numbers) + 1, self.job.event_count + 1))

    def teardown(self) -> None:
        """After any history, the job ends or is queued once all workers are lost and its streams settle."""
        for worker in WORKERS:
            self._become(partial(transitions.lose_worker, worker=worker, now=0))
        self.settle_streams()
        assert self.job.status.terminal or self.job.status is JobStatus.QUEUED


def _reachable(start: Any, moves: Mapping[Any, frozenset[Any]]) -> set[Any]:
    found: set[Any] = set()
    frontier = {start}
    while frontier:
        frontier = {after for one in frontier for after in moves[one]} - found
        found |= frontier
    return found


class TestJobMachine(JobMachine.TestCase):  # type: ignore[misc, valid-type] # hypothesis makes it at run time
    settings = settings(
        max_examples=int(os.environ.get("HEADWAY_PROOF_EXAMPLES", "100")),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    @classmethod
    def setUpClass(cls) -> None:
        JobMachine.store = Store()

    @classmethod
    def tearDownClass(cls) -> None:
        JobMachine.store.close()
