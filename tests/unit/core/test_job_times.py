"""Servers and workers whose clocks differ: a job's times stay in order, and its deadlines hold."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from headway.core import transitions
from headway.core.attempt import Attempt
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import Fact, OutputsStored, RankEnded, RankFinished, RankStarted, Released, StageReached
from headway.core.goodput import goodput
from headway.core.installation import Leadership
from headway.core.job import Job, JobSpec
from headway.core.job_times import dated, in_order
from headway.core.placement import Share
from headway.server.clock import Clock
from headway.server.leading import Leading
from tests.unit.shared_sqlite import SharedSqlite

T = 1_000_000.0
ATTEMPT = Attempt(number=1, placed_at=T, started_at=T + 2, assignments=(), stages={"launched": T + 3})


@pytest.mark.parametrize(
    ("said", "received", "counts"),
    [
        (T + 5, T + 6, T + 5),
        (T + 605, T + 6, T + 6),
        (T - 595, T + 6, T + 3),
        (T + 5, T - 594, T + 3),
        (T + 5, T + 606, T + 5),
        (0.0, T + 6, T + 3),
        (1e300, T + 6, T + 6),
    ],
)
def test_a_workers_time_counts_between_what_came_before_and_its_receipt(
    said: float, received: float, counts: float
) -> None:
    assert dated(StageReached(stage="first_step", at=said), ATTEMPT, received) == StageReached(
        stage="first_step", at=counts
    )


def test_the_end_of_a_rank_is_not_before_its_start_and_other_facts_have_no_time() -> None:
    ended = RankEnded(rank=0, at=T - 600, exit_code=0)
    assert dated(ended, ATTEMPT, T + 9) == RankEnded(rank=0, at=T + 2, exit_code=0)
    assert dated(ended.model_copy(update={"at": T + 700}), ATTEMPT, T + 9) == RankEnded(rank=0, at=T + 9, exit_code=0)
    assert dated(RankStarted(rank=0, pid=1), ATTEMPT, 0) == RankStarted(rank=0, pid=1)


def new_job() -> Job:
    spec = JobSpec(script="s.py", source="")
    return Job(id="j-1", project="default", name="x", idempotency_key="k", body_hash="h", spec=spec, created_at=T)


@pytest.mark.parametrize("server_skew", [-600.0, 0.0, 600.0])
@pytest.mark.parametrize("worker_skew", [-600.0, 0.0, 600.0])
def test_times_of_a_job_stay_in_order(server_skew: float, worker_skew: float) -> None:
    """Given a job that one server stores and another server continues."""
    now = T + server_skew
    job = new_job()

    def change(changed: Job) -> Job:
        return in_order(job, changed)

    def report(number: int, *facts: Fact) -> Job:
        last = any(isinstance(fact, Released) for fact in facts)
        return change(apply_facts(job, 1, [ReportedFacts("w", number, facts, last=last)], now + number))

    job = change(transitions.place(job, [Share("w", "w", 0, 1)], now + 1))
    job = change(transitions.claim(job, 1, "w", "host:1"))
    job = report(2, RankStarted(rank=0, pid=1), StageReached(stage="launched", at=T + 2 + worker_skew))
    job = report(3, StageReached(stage="first_step", at=T + 3 + worker_skew))
    job = report(4, RankFinished(rank=0), RankEnded(rank=0, at=T + 4 + worker_skew, exit_code=0, finished=True))
    job = report(5, OutputsStored(), Released())
    attempt = job.attempt
    assert attempt is not None
    order = [job.created_at, attempt.placed_at, attempt.started_at, attempt.ended_at, job.ended_at]
    assert all(one <= next for one, next in pairwise(order)), order
    assert all(attempt.placed_at <= at for at in attempt.stages.values())
    assert all(one.at <= next.at for one, next in pairwise(job.events))
    found = goodput(job, [attempt], now + 6)
    assert found.useful_seconds + found.startup_seconds <= 10 if server_skew <= 0 else found.useful_seconds <= 10


@pytest.mark.anyio
@pytest.mark.parametrize("skew", [-600.0, 600.0])
async def test_a_server_that_takes_over_goes_by_the_clock_of_the_one_before(tmp_path: Path, skew: float) -> None:
    """Given a standby that watched a leader whose clock differs by ten minutes, then its times follow the leader's."""

    class Skewed(Clock):
        seconds = 0.0

        def machine_now(self) -> float:
            return T + self.seconds

        def monotonic(self) -> float:
            return self.seconds

    database = SharedSqlite(f"sqlite:///{tmp_path / 'headway.db'}")
    await database.open()
    clock = Skewed()
    standby = Leading(database, clock, "s-2", 1.5)
    beats = [Leadership(term=1, beat=beat, server="s-1", url="http://one", at=T + skew + beat) for beat in range(3)]
    await database.put_leadership(beats[0], Leadership())
    standby.look(await database.leadership())
    clock.seconds = 1.0
    standby.look(beats[1])
    assert clock.now() == T + 1
    await database.put_leadership(Leadership(term=1, beat=9, url="http://one", at=T + skew + 1), beats[0])
    await standby.acquire("http://two")
    assert clock.now() == pytest.approx(T + skew + 1)
    assert (await database.leadership()).at == pytest.approx(T + skew + 1)
    await database.close()


@pytest.mark.anyio
async def test_a_server_whose_clock_is_behind_continues_from_the_last_written_time(tmp_path: Path) -> None:
    database = SharedSqlite(f"sqlite:///{tmp_path / 'headway.db'}")
    await database.open()
    clock = Clock()
    ahead = clock.now() + 600
    await database.put_leadership(Leadership(term=1, beat=1, at=ahead), Leadership())
    await Leading(database, clock, "s-2", 1.5).acquire("http://two")
    assert clock.now() >= ahead
    await database.close()


def test_a_leadership_without_a_time_is_stored_as_before() -> None:
    assert "at" not in Leadership(term=1).model_dump()
    assert Leadership.model_validate_json(Leadership(term=1, at=0.1 + 0.2).model_dump_json()).at == 0.1 + 0.2
