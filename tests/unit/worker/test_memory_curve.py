"""The curve of a rank's memory ends with its peak."""

from __future__ import annotations

import os

from headway.worker.memory_curve import MemoryCurves


def test_the_last_point_is_the_larger_peak() -> None:
    """Given a sample larger than the kernel's final figure, then the sample is the peak."""
    curves = MemoryCurves()
    curves.look({0: os.getpid()})
    ((_, seen),) = curves.of(0, 1.0, None)
    assert [held for _, held in curves.of(0, 1.0, seen - 4096)] == [seen, seen]
    assert [held for _, held in curves.of(0, 1.0, seen + 4096)] == [seen, seen + 4096]
    assert curves.of(1, 1.0, 7) == ((1.0, 7),)
