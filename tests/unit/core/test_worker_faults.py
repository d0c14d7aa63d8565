"""Faults of workers: which cost a retry, which workers are avoided, and when one is quarantined."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.core import transitions
from headway.core.attempt_end import end_when_released, failure_of, stop
from headway.core.end_reason import EndReason
from headway.core.job import Job, JobSpec
from headway.core.job_change import update_assignment
from headway.core.placement import Share, gang_of, place_queue
from headway.core.status import AssignmentState, JobStatus
from headway.core.waiting import explain_misfit, waiting
from headway.core.worker import Quarantine, Worker, WorkerFault
from headway.core.worker_faults import avoided_workers, blamed, breaks_workers, charged, excused, proven, restored


def worker(name: str, slots: int = 1, **fields: object) -> Worker:
    return Worker(
        id=f"w-{name}", name=name, slots=slots, threads_per_slot=1, host="h", port=1, registered_at=0, **fields
    )


def job(name: str = "j", world_size: int = 1, **fields: object) -> Job:
    spec = JobSpec(script="s.py", source="", world_size=world_size, **fields)
    return Job(id=name, project="default", name=name, idempotency_key=name, body_hash="h", spec=spec, created_at=0)


def failed(one: Job, name: str, reason: EndReason) -> Job:
    """The job after an attempt on worker `name` that ended for `reason`."""
    one = transitions.place(one, [Share(f"w-{name}", name, 0, one.spec.world_size)], 0)
    one = transitions.claim(one, one.attempt_number, f"w-{name}", "h:1")
    assert one.attempt is not None
    one = stop(one, failure_of(one.attempt.assignments[0], reason, 0, error="x"), 0)
    return end_when_released(update_assignment(one, f"w-{name}", state=AssignmentState.RELEASED), 0)


def fault(job: str, attempt: int = 1, at: float = 0.0) -> WorkerFault:
    return WorkerFault(job=job, attempt=attempt, placed_at=at, at=at, error="the disk is full")


def faulty(name: str, *jobs: str, others: tuple[Worker, ...] = ()) -> Worker:
    one = worker(name)
    for number, job in enumerate(jobs):
        one = blamed(one, fault(job, number), others)
    return one


FAULTY, VANISHED, LOST = EndReason.WORKER_FAULTY, EndReason.RANKS_VANISHED, EndReason.WORKER_LOST


@pytest.mark.parametrize(
    ("reason", "workers", "counted"),
    [
        (FAULTY, ["a"], False),
        (VANISHED, ["a", "b", "a"], False),
        (FAULTY, ["a", "a", "a", "a"], True),  # for ever is too long
        (FAULTY, ["a", "b", "c"], True),  # it breaks whatever it runs on
        (LOST, [], True),
        (EndReason.PREPARE_FAILED, ["a"], True),
        (EndReason.DRAINED, [], False),
    ],
)
def test_a_workers_own_fault_costs_no_retry_at_first(reason: EndReason, workers: list[str], counted: bool) -> None:
    attempt = transitions.place(job(), [Share("w-a", "a", 0, 1)], 0).attempt
    assert charged(attempt, reason, workers) is counted


def test_a_job_without_retries_survives_a_limited_number_of_worker_faults() -> None:
    one = job(retries=0)
    for attempt in range(1, 4):
        one = failed(one, "a", FAULTY)
        assert (one.status, one.retries_used, one.attempt_number) == (JobStatus.QUEUED, 0, attempt)
        assert "this costs no retry" in one.attempt.decision
    one = failed(one, "a", FAULTY)
    assert (one.status, one.reason) == (JobStatus.FAILED, FAULTY)


@pytest.mark.parametrize(
    ("ends", "avoids"),
    [
        ([("a", FAULTY)], {"a"}),
        ([("a", FAULTY), ("b", FAULTY)], {"a", "b"}),
        ([("a", LOST)], {"a"}),
        ([("a", EndReason.PREPARE_FAILED)], {"a"}),
        ([("a", EndReason.RANK_KILLED)], set()),  # an accident, perhaps
        ([("a", EndReason.RANK_KILLED), ("a", EndReason.RANK_KILLED)], {"a"}),
        ([("a", EndReason.PEER_LOST)], set()),  # who tells of it is not who failed
        ([("a", EndReason.WORKER_STOPPED)], set()),
    ],
)
def test_the_next_attempt_avoids_the_worker_that_failed(ends: list[tuple[str, EndReason]], avoids: set[str]) -> None:
    one = job()
    for name, reason in ends:
        one = failed(one, name, reason)
    assert avoided_workers(one) == avoids


@pytest.mark.parametrize(
    ("workers", "used", "world_size", "placed"),
    [
        ({"a": 1, "b": 1}, {}, 1, ["b"]),
        ({"a": 1, "b": 1}, {"w-b": 1}, 1, None),  # it waits for the other
        ({"a": 1}, {}, 1, ["a"]),  # there is no other
        ({"a": 2, "b": 1}, {}, 3, ["a", "b"]),  # it does not fit without
        ({"a": 4, "b": 1, "c": 1}, {}, 2, ["b", "c"]),
    ],
)
def test_placement_avoids_where_others_can_take_it(
    workers: dict[str, int], used: dict[str, int], world_size: int, placed: list[str] | None
) -> None:
    gang = gang_of(failed(job(world_size=world_size), "a", FAULTY))
    placements = place_queue([gang], [worker(name, slots) for name, slots in workers.items()], used)
    found = [share.worker_name for _, shares in placements for share in shares]
    assert found == (placed or [])


def test_a_job_that_avoids_a_worker_leaves_it_to_others() -> None:
    queue = [gang_of(failed(job("waits"), "a", FAULTY)), gang_of(job("next")), gang_of(job("third"))]
    placements = place_queue(queue, [worker("a"), worker("b")], {"w-b": 1})
    assert [(gang.name, shares[0].worker_name) for gang, shares in placements] == [("next", "a")]


@pytest.mark.parametrize(
    ("jobs", "quarantined"),
    [
        (["j1", "j2"], False),
        (["j1", "j1", "j1", "j1"], False),  # one job alone may be the cause
        (["j1", "j1", "j2"], True),
        (["j1", "j2", "j3"], True),
    ],
)
def test_a_worker_is_quarantined_after_faults_in_a_row_of_several_jobs(jobs: list[str], quarantined: bool) -> None:
    one = faulty("a", *jobs)
    assert (one.quarantine is not None) is quarantined
    assert one.takes_jobs is not quarantined
    if one.quarantine is not None:
        assert one.quarantine.reason == "the disk is full"


def test_a_fault_is_counted_once_also_after_a_restore() -> None:
    one = faulty("a", "j1", "j2", "j3")
    assert blamed(one, fault("j3", 2), ()) == one
    one = restored(one)
    assert one.takes_jobs
    assert blamed(one, fault("j3", 2), ()) == one
    assert blamed(one, fault("j4"), ()).takes_jobs


def test_the_last_of_several_workers_is_not_quarantined() -> None:
    assert faulty("a", "j1", "j2", "j3", others=(worker("b", draining=True),)).takes_jobs
    assert not faulty("a", "j1", "j2", "j3", others=(worker("b"),)).takes_jobs


def test_pauses_grow_while_tries_fail_and_faults_from_before_do_not_count_as_tries() -> None:
    one = faulty("a", "j1", "j2", "j3")
    pauses = []
    for number in range(9):
        pauses.append(one.quarantine.pause_seconds)
        one = blamed(one, fault(f"k{number}", at=1.0 + number), ())
    assert pauses == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    tries = one.quarantine.failed_tries
    assert blamed(one, fault("placed-before", at=-1.0), ()).quarantine.failed_tries == tries


def test_work_that_was_placed_after_the_last_fault_clears_a_worker() -> None:
    one = faulty("a", "j1", "j2").model_copy(
        update={"faults": (fault("j1", at=5), fault("j2", at=6), fault("j3", at=7))}
    )
    one = one.model_copy(update={"quarantine": Quarantine(reason="x", since=7)})
    assert proven(one, placed_at=6.5) == one
    assert proven(one, placed_at=7.5).takes_jobs
    assert not any(each.counts for each in proven(one, placed_at=7.5).faults)


def test_a_job_that_fails_on_several_workers_takes_its_blame_with_it() -> None:
    assert not breaks_workers(["a", "a"], ["a"])
    assert not breaks_workers(["a", "b"], ["a", "b", "c"])
    assert breaks_workers(["a", "b"], ["a", "b"])
    assert breaks_workers(["a", "b", "c"], ["a", "b", "c", "d"])
    one = faulty("a", "j1", "j2", "j3")
    assert excused(one, "other") == one
    assert excused(one, "j2").takes_jobs


def test_one_gang_tries_a_quarantined_worker() -> None:
    queue = [gang_of(job("first")), gang_of(job("second"))]
    placements = place_queue(queue, [worker("a", slots=4)], {}, tried={"w-a"})
    assert [gang.name for gang, _ in placements] == ["first"]


def test_who_waits_for_a_quarantined_worker_is_told_why() -> None:
    bad = faulty("a", "j1", "j2", "j3")
    told = explain_misfit(job(), [bad])
    assert "Worker a is quarantined: the disk is full." in told
    assert "headway workers restore a" in told
    assert "Worker a is quarantined" in explain_misfit(job(world_size=2), [bad, worker("b")])
    waits = waiting(failed(job(), "a", FAULTY), [], [worker("a"), worker("b")], [placed_on("b")])
    assert "Avoids a for now, because it failed there." in waits.sentence


def placed_on(name: str) -> Job:
    return transitions.place(job("other"), [Share(f"w-{name}", name, 0, 1)], 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=60))
def test_at_least_one_worker_is_never_quarantined(steps: list[tuple[str, int, bool]]) -> None:
    """Given three workers and any failures on them, then at least one worker takes jobs."""
    fleet = {name: worker(name) for name in "abc"}
    failed_on: dict[int, list[str]] = {}
    for number, (name, job_number, works) in enumerate(steps):
        if works:
            fleet[name] = proven(fleet[name], placed_at=float(number))
            failed_on.pop(job_number, None)
            continue
        failed_on.setdefault(job_number, []).append(name)
        if breaks_workers(failed_on[job_number], fleet):
            fleet = {one: excused(each, str(job_number)) for one, each in fleet.items()}
        else:
            others = [each for one, each in fleet.items() if one != name]
            fleet[name] = blamed(fleet[name], fault(str(job_number), number, float(number)), others)
        assert any(each.takes_jobs for each in fleet.values())
        for each in fleet.values():
            counting = {one.job for one in each.faults if one.counts}
            assert each.quarantine is None or len(counting) >= 2 or each.quarantine.failed_tries
