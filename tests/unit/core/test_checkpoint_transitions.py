"""When saved parts become a checkpoint."""

from __future__ import annotations

from headway.core.checkpoint_transitions import MAXIMUM_SAVING
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import (
    CheckpointPartStored,
    Released,
)
from tests.unit.core.jobs import NOW, ended_rank, report, running


def part(step: int, rank: int) -> CheckpointPartStored:
    return CheckpointPartStored(step=step, rank=rank)


def test_a_step_is_a_checkpoint_once_all_ranks_parts_are_there() -> None:
    job = report(running(), "w0", part(10, 0), part(20, 0), part(10, 0))
    assert job.checkpoints == ()
    job = report(job, "w0", part(20, 1))
    assert [(one.attempt, one.step, one.world_size) for one in job.checkpoints] == [(1, 20, 2)]
    assert job.attempt.saving == {}  # the older one will not be completed any more
    job = report(job, "w0", *(part(step, rank) for step in (30, 40, 50) for rank in (0, 1)))
    assert [one.step for one in job.checkpoints] == [30, 40, 50]


def test_an_older_attempts_parts_are_no_checkpoint() -> None:
    job = report(running(), "w0", ended_rank(signal="SIGKILL"), Released(), last=True)
    job = running(job)
    late = [ReportedFacts("w0", 99, (part(10, 0), part(10, 1)))]
    assert apply_facts(job, 1, late, NOW) is job


def test_parts_of_only_one_rank_are_dropped_with_a_warning() -> None:
    job = running()
    job = report(job, "w0", part(1, 0))
    assert list(job.attempt.saving) == [1]  # the other rank's may still come
    for step in range(2, 50):
        job = report(job, "w0", part(step, 0))
    job = report(job, "w0", part(60, 1))
    assert list(job.attempt.saving) == [60], "what the other rank passed over was waited for"
    (warning,) = job.warnings
    assert warning.startswith("Only 1 of 2 ranks saved step 1, so it is not a checkpoint. Call run.save on every")


def test_waiting_for_ranks_that_never_save_has_a_limit() -> None:
    job = running()
    for step in range(1, 80):
        job = report(job, "w0", part(step, 0))
    assert len(job.attempt.saving) == MAXIMUM_SAVING
    assert len(job.warnings) == 1


def test_failures_with_a_checkpoint_between_them_do_not_add_up() -> None:
    job = running()
    for number in (1, 2, 3):
        job = report(job, "w0", part(number, 0), part(number, 1))
        job = report(job, "w0", ended_rank(signal="SIGKILL"), Released(), last=True)
        assert (job.retries_used, job.failures_in_row) == (number, 1)
        job = running(job)


def test_a_part_that_is_long_behind_the_others_is_not_waited_for() -> None:
    job = running()
    facts = [(number, part(number, 0)) for number in range(1, 10)]
    for number, fact in facts:
        reports = [ReportedFacts("w0", number + 10, (fact,), False)]
        job = apply_facts(job, 1, reports, NOW + 2 * number)
    assert min(job.attempt.saving) == 4  # the fourth came 10 s before the ninth
    (warning,) = job.warnings
    assert warning.startswith("Only 1 of 2 ranks saved step 1")
