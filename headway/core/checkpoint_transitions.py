"""Transitions of a job's checkpoints: committed, restored, damaged, used by other jobs. Pure, as all transitions."""

from __future__ import annotations

from collections.abc import Collection

from headway.core.attempt import Attempt
from headway.core.checkpoint import Checkpoint, Saving
from headway.core.checkpoint_retention import retained
from headway.core.facts import (
    CheckpointDamaged,
    CheckpointNotSaved,
    CheckpointPartStored,
    CheckpointRestored,
    LinksLeftOut,
)
from headway.core.job import Job
from headway.core.job_change import emit, update_attempt, warn, warn_once
from headway.core.warning_kind import WarningKind
from headway.rank_protocol.checkpoint_parts import PartKind

MAXIMUM_SAVING = 64
"""The most incomplete checkpoints of an attempt. It bounds them if some ranks never save."""
_LATE_STEPS, _LATE_SECONDS = 4, 10.0
"""A part that is this many steps and seconds late is not expected any more."""


def part_stored(job: Job, attempt: Attempt, fact: CheckpointPartStored, now: float) -> Job:
    """Note the part. Once all parts are stored, the checkpoint exists."""
    known = attempt.saving.get(fact.step, Saving(at=now))
    again = fact.rank in known.ranks
    saving = Saving(
        at=known.at,
        ranks=tuple(sorted({*known.ranks, fact.rank})),
        size_bytes=known.size_bytes + (0 if again else fact.size_bytes),
        saved_at=fact.saved_at if fact.rank == 0 else known.saved_at,
        metrics=fact.metrics or known.metrics,
    )
    if len(saving.ranks) < attempt.world_size and fact.kind is not PartKind.FILES:
        return _keep_saving(job, attempt, fact, {**attempt.saving, fact.step: saving}, now)
    # Older incomplete checkpoints will not be completed any more.
    job = update_attempt(job, saving={step: some for step, some in attempt.saving.items() if step > fact.step})
    checkpoint = Checkpoint(
        attempt=attempt.number,
        step=fact.step,
        world_size=attempt.world_size,
        kind=fact.kind,
        at=now,
        saved_at=saving.saved_at,
        counted=fact.counted,
        size_bytes=saving.size_bytes,
        metrics=saving.metrics,
    )
    others = tuple(one for one in job.checkpoints if one.job is not None or one.key != checkpoint.key)
    kept = retained((*others, checkpoint), job.spec.checkpoints)
    job = job.model_copy(update={"checkpoints": kept, "failures_in_row": 0})
    return emit(job, "checkpoint.committed", now, attempt=attempt.number, step=fact.step)


def _keep_saving(job: Job, attempt: Attempt, fact: CheckpointPartStored, saving: dict[int, Saving], now: float) -> Job:
    """Wait for the other ranks' parts, unless they cannot come any more: each rank's parts come in order of steps."""
    hopeless = [step for step, one in saving.items() if step < fact.step and fact.rank not in one.ranks]
    late = [step for step in sorted(saving)[:-_LATE_STEPS] if now - saving[step].at > _LATE_SECONDS]
    hopeless = sorted({*hopeless, *late, *sorted(saving)[: max(0, len(saving) - MAXIMUM_SAVING)]})
    for step in hopeless:
        warning = (
            f"Only {len(saving[step].ranks)} of {attempt.world_size} ranks saved step {step}, so it is not a "
            "checkpoint. Call run.save on every rank, for the same steps."
        )
        job = warn_once(job, WarningKind.RANKS_SAVE_APART, warning, now)
    return update_attempt(job, saving={step: one for step, one in saving.items() if step not in hopeless})


def not_saved(job: Job, fact: CheckpointNotSaved, now: float) -> Job:
    """Warn once. Training continues without that checkpoint."""
    warning = (
        f"The checkpoint of step {fact.step} could not be saved by rank {fact.rank}: {fact.error.rstrip('.')}. "
        "Training continues."
    )
    return warn_once(job, WarningKind.CHECKPOINT_NOT_SAVED, warning, now)


def restored(job: Job, attempt: Attempt, fact: CheckpointRestored, now: float) -> Job:
    """The attempt continues from that step."""
    if attempt.restored_step is not None:
        return job
    given = next((one for one in reversed(job.checkpoints) if one.step == fact.step), None)
    counted = given is not None and given.counted
    job = update_attempt(
        job,
        restored_step=fact.step,
        restored_saved_at=given.saved_at if given is not None else None,
        restored_certain=fact.certain,
        restored_counted=counted,
    )
    data = {"attempt": attempt.number, "step": fact.step, "certain": fact.certain, "counted": counted}
    return emit(job, "checkpoint.restored", now, **data)


def links_left_out(job: Job, fact: LinksLeftOut, now: float) -> Job:
    """Warn once that the next attempt will not have these links."""
    more = f" and {fact.count - len(fact.names)} more" if fact.count > len(fact.names) else ""
    warning = (
        f"The checkpoint of step {fact.step} lacks {', '.join(fact.names)}{more}: "
        "only links to files in the checkpoint directory are kept."
    )
    return warn_once(job, WarningKind.LINKS_LEFT_OUT, warning, now)


def damaged(job: Job, fact: CheckpointDamaged, now: float) -> Job:
    """Drop the checkpoint, with a warning. The next attempt starts from the previous one."""
    left = tuple(one for one in job.checkpoints if one.key != (fact.attempt, fact.step) or one.job != fact.job)
    if len(left) == len(job.checkpoints):
        return job
    job = job.model_copy(update={"checkpoints": left})
    job = emit(job, "checkpoint.damaged", now, attempt=fact.attempt, step=fact.step, error=fact.error)
    return warn(job, f"The checkpoint of step {fact.step} is damaged and was dropped: {fact.error}", now)


def warn_unless_restored(job: Job, now: float) -> Job:
    """Warn that the script did not load its checkpoint, so it repeats all steps."""
    attempt = job.attempt
    if attempt is None or attempt.offered_step is None or attempt.restored_step is not None:
        return job
    given = f"Attempt {attempt.number} was given the checkpoint of step {attempt.offered_step}"
    if job.checkpoints and job.checkpoints[-1].kind is PartKind.FILES:
        warning = (
            f"{given}, but no rank read its files in HEADWAY_CHECKPOINT_DIRECTORY. "
            "It probably started from the beginning."
        )
        return warn_once(job, WarningKind.CHECKPOINT_NOT_READ, warning, now)
    warning = (
        f"{given}, but its script did not load it and started from the beginning. Call run.restore before training."
    )
    return warn_once(job, WarningKind.CHECKPOINT_NOT_LOADED, warning, now)


def use_checkpoints(job: Job, user: str, keys: Collection[tuple[int, int]], now: float) -> Job:
    """Keep these checkpoints for another job that starts from them, until it releases them."""
    used = tuple(
        one.model_copy(update={"users": {**one.users, user: now}}) if one.job is None and one.key in keys else one
        for one in job.checkpoints
    )
    return job.model_copy(update={"checkpoints": used})


def release_checkpoints(job: Job, user: str) -> Job:
    """The other job does not need them any more. The next change of the checkpoints drops those that only it needed."""
    if not any(user in one.users for one in job.checkpoints):
        return job
    left = tuple(
        one.model_copy(update={"users": {name: since for name, since in one.users.items() if name != user}})
        for one in job.checkpoints
    )
    return job.model_copy(update={"checkpoints": retained(left, job.spec.checkpoints)})
