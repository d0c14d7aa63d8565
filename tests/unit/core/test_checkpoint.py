"""Which checkpoints are kept, and which steps of earlier attempts count."""

from __future__ import annotations

from math import inf

import pytest

from headway.core.attempt import Attempt
from headway.core.checkpoint import Checkpoint, CheckpointPolicy
from headway.core.checkpoint_retention import retained
from headway.core.checkpoint_transitions import release_checkpoints, use_checkpoints
from headway.core.job import Job, JobSpec
from headway.core.progress import LoggedSteps, kept_through, kept_until, repeated_steps
from headway.rank_protocol.checkpoint_parts import PartKind


def checkpoints(*losses: float | None) -> list[Checkpoint]:
    return [
        Checkpoint(attempt=1, step=step, world_size=2, at=0.0, metrics={} if loss is None else {"loss": loss})
        for step, loss in enumerate(losses, 1)
    ]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ({}, [4, 5, 6]),
        ({"keep_newest": 1}, [6]),
        ({"keep_newest": 1, "keep_best": 1, "metric": "loss"}, [4, 6]),
        ({"keep_newest": 1, "keep_best": 2, "metric": "loss", "mode": "max"}, [1, 3, 6]),
        ({"keep_newest": 2, "keep_best": 3, "metric": "other"}, [5, 6]),
    ],
)
def test_the_newest_and_the_best_are_kept(policy: dict[str, object], kept: list[int]) -> None:
    found = retained(checkpoints(5.0, None, 4.0, 1.0, 1.5, 3.0), CheckpointPolicy.model_validate(policy))
    assert [one.step for one in found] == kept


def test_of_equals_the_newer_is_best() -> None:
    policy = CheckpointPolicy(keep_newest=1, keep_best=1, metric="loss")
    assert [one.step for one in retained(checkpoints(1.0, 1.0, 2.0), policy)] == [2, 3]


def test_a_checkpoint_is_kept_while_other_jobs_use_it() -> None:
    spec = JobSpec(command=("true",), checkpoints=CheckpointPolicy(keep_newest=1))
    job = Job(
        id="j-a", project="default", name="a", idempotency_key="k", body_hash="h", spec=spec, created_at=0.0,
        checkpoints=tuple(checkpoints(None, None, None)),
    )  # fmt: skip
    job = use_checkpoints(job, "j-b", {(1, 1)}, now=5.0)
    assert [one.step for one in retained(job.checkpoints, spec.checkpoints)] == [1, 3]
    assert [one.step for one in release_checkpoints(job, "j-b").checkpoints] == [3]
    assert release_checkpoints(job, "j-other") is job


@pytest.mark.parametrize(
    ("kind", "ranks", "needed", "of_rank_5"),
    [
        (PartKind.STATE, [0, 1], {0, 1}, 2),
        (PartKind.STATE, [4, 5], {0, 1, 2}, 2),
        (PartKind.SHARDS, [0], {0, 1, 2}, 2),
        (PartKind.FILES, [4, 5], {0}, 0),
    ],
)
def test_the_parts_that_ranks_need(kind: PartKind, ranks: list[int], needed: set[int], of_rank_5: int) -> None:
    checkpoint = Checkpoint(attempt=1, step=1, world_size=3, at=0.0, kind=kind)
    assert checkpoint.needed_parts(ranks) == needed
    assert checkpoint.part_of(5) == of_rank_5


def attempt(
    number: int, restored: int | None = None, *, saved_at: float | None = None, trained: bool = True
) -> Attempt:
    stages = {"first_step": 1.0} if trained else {}
    return Attempt(
        number=number, placed_at=0.0, assignments=(), restored_step=restored, restored_saved_at=saved_at, stages=stages
    )


def test_each_step_counts_once_from_the_attempt_that_did_it_last() -> None:
    attempts = [attempt(1), attempt(2, 40), attempt(3, trained=False), attempt(4, 30), attempt(5, 60)]
    logged = [LoggedSteps(1, 57), LoggedSteps(41, 80), None, LoggedSteps(31, 66), LoggedSteps(61, 99)]
    assert kept_through(attempts, logged) == [30, 30, 30, 60, inf]
    assert repeated_steps(attempts, logged) == [None, 17, None, 50, 20]


def test_an_attempt_from_the_beginning_repeats_everything() -> None:
    attempts, logged = [attempt(1), attempt(2)], [LoggedSteps(1, 20), LoggedSteps(1, 5)]
    assert kept_through(attempts, logged) == [-inf, inf]
    assert repeated_steps(attempts, logged) == [None, 20]


def test_logged_steps_decide_where_an_attempt_began() -> None:
    assert kept_through([attempt(1), attempt(2, 12)], [LoggedSteps(1, 20), LoggedSteps(9, 30)]) == [8, inf]


def test_lines_count_until_the_checkpoint_where_a_later_attempt_continued() -> None:
    attempts = [attempt(1), attempt(2, 40, saved_at=100.0), attempt(3, 30, saved_at=80.0)]
    assert kept_until(attempts) == {1: 80.0, 2: 80.0, 3: inf}
    assert kept_until([attempt(1), attempt(2)]) == {1: -inf, 2: inf}
    assert kept_until([attempt(1), attempt(2, trained=False)]) == {1: inf, 2: inf}
