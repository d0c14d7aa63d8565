"""Lightning's logger passes numbers to the run unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from headway.rank_protocol.paths import run_file
from headway.rank_protocol.rank_variables import RUN_FILE
from headway.training import run as run_module
from headway.training.run import Run


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = run_file(tmp_path, 0)
    run = Run({RUN_FILE: str(path)})
    monkeypatch.setattr(run_module.Run, "of_rank", lambda: run)
    run_module.run.cache_clear()
    return path


def test_numbers_of_all_kinds_are_recorded_and_others_named(records: Path) -> None:
    """Given metrics as Lightning has them, when they are logged, then `run.log` converts them, and names a bad one."""
    lightning = pytest.importorskip("headway.integrations.lightning")
    logger = lightning.HeadwayLogger()
    logger.log_metrics({"train/loss": torch.tensor([0.5]), "epoch": 1, "masked": np.ma.array([1.0], mask=[True])}, 3)
    (first, *_) = map(json.loads, records.read_text().splitlines())
    assert first["step"] == 3
    assert (first["values"]["train/loss"], first["values"]["epoch"]) == (0.5, 1.0)
    assert np.isnan(first["values"]["masked"])
    with pytest.raises(TypeError, match="metric both is of shape"):
        logger.log_metrics({"both": torch.tensor([0.5, 0.25])}, 4)
    run_module.run.cache_clear()
