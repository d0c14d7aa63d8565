"""Which rank gets which samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.core.data_order import batch_bounds, gradient_weight, rank_bounds, steps_per_epoch


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 9))
def test_every_sample_is_visited_once_whatever_the_world_size(samples: int, batch: int, world_size: int) -> None:
    visited: list[int] = []
    for step in range(steps_per_epoch(samples, batch)):
        start, end = batch_bounds(step, samples, batch)
        weights = 0.0
        for rank in range(world_size):
            first, last = rank_bounds(start, end, rank, world_size)
            visited.extend(range(first, last))
            weights += gradient_weight(last - first, end - start, world_size)
        assert weights / world_size == pytest.approx(1.0)
    assert visited == list(range(samples))
