"""Blocks of datasets are decoded as they were encoded."""

from __future__ import annotations

import numpy as np
import pytest

from headway.core.dataset import Split
from headway.errors import Corrupt
from headway.formats import blocks


def test_blocks_give_back_the_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    arrays = {"input": np.arange(7 * 12, dtype=np.uint8).reshape(7, 3, 4), "label": np.arange(7, dtype=np.int64)}
    cut = list(blocks.cut(arrays))
    assert len(cut) > 1
    split = Split(sample_count=7, arrays=blocks.describe_arrays(arrays), blocks=tuple(block for block, _ in cut))
    parts = [blocks.unpack(split, block, content) for block, content in cut]
    for name, array_ in arrays.items():
        assert b"".join(part[name] for part in parts) == array_.tobytes()


def test_a_changed_block_is_refused() -> None:
    ((block, content),) = blocks.cut({"label": np.zeros(4, dtype=np.uint8)})
    with pytest.raises(Corrupt, match="does not match its hash"):
        blocks.verify(block, content[:-1] + b"x")
