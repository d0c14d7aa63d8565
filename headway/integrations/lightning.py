"""A Lightning logger: `Trainer(logger=HeadwayLogger())`. It needs `lightning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

import headway


class HeadwayLogger(Logger):
    """Records every metric that Lightning logs as a metric of the job. Outside Headway it records nothing."""

    @property
    def name(self) -> str:
        """The name of Lightning's checkpoint folder."""
        return "headway"

    @property
    def version(self) -> str:
        """The attempt."""
        return str(headway.run().attempt)

    @property
    def save_dir(self) -> str:
        """The output directory, so that Lightning's checkpoints are kept."""
        return str(headway.run().output_directory)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record metrics of a step."""
        headway.run().log(step or 0, **metrics)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: parameters are part of the job's spec."""
