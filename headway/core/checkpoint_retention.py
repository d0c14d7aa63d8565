"""Which checkpoints of a job are kept."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan

from headway.core.checkpoint import Checkpoint, CheckpointPolicy


def retained(checkpoints: Sequence[Checkpoint], policy: CheckpointPolicy) -> tuple[Checkpoint, ...]:
    """The checkpoints to keep, oldest first: the newest, the best, and all that other jobs started from."""
    kept = [*checkpoints[-policy.keep_newest :], *(one for one in checkpoints if one.users)]
    if policy.metric is not None:
        sign = 1 if policy.mode == "min" else -1
        known = [one for one in checkpoints if not isnan(one.metrics.get(policy.metric, nan))]
        newest_first = known[::-1]  # if equal, the newer one
        ranking = sorted(newest_first, key=lambda one: sign * one.metrics[policy.metric or ""])
        kept += ranking[: policy.keep_best]
    return tuple(one for one in checkpoints if any(one is other for other in kept))
