"""Which samples of an epoch belong to which step and rank. The order itself is a permutation by (seed, epoch)."""

from __future__ import annotations

from math import ceil


def steps_per_epoch(sample_count: int, batch_size: int) -> int:
    """Steps that visit every sample once; the last batch may be smaller."""
    return ceil(sample_count / batch_size)


def batch_bounds(step: int, sample_count: int, batch_size: int) -> tuple[int, int]:
    """The half-open range of positions of step `step` (from 0) of an epoch. It does not depend on the world size."""
    start = step * batch_size
    return start, min(start + batch_size, sample_count)


def rank_bounds(start: int, end: int, rank: int, world_size: int) -> tuple[int, int]:
    """The part of positions `start` to `end` that belongs to `rank`: contiguous, and even to within one sample."""
    count = end - start
    return start + count * rank // world_size, start + count * (rank + 1) // world_size


def gradient_weight(rank_count: int, batch_count: int, world_size: int) -> float:
    """The factor for the mean loss of a rank's part, so that DDP's average over ranks is the mean of the batch."""
    return rank_count * world_size / batch_count
