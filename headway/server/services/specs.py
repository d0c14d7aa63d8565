"""Checks a spec against the project's objects, before anything is stored."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext

from headway.core.job import JobSpec
from headway.core.parameters import check_samples, parse_parameters
from headway.core.spec_limits import check_limits
from headway.formats.metric_patterns import MetricPatterns
from headway.server.services.datasets import Datasets
from headway.server.services.snapshots import Snapshots


class Specs:
    """Checks that the spec cannot do by itself: the trainer's parameters, datasets, snapshots, and patterns."""

    def __init__(self, datasets: Datasets, snapshots: Snapshots) -> None:
        self._datasets = datasets
        self._snapshots = snapshots

    def submitting(self, project: str, spec: JobSpec) -> AbstractContextManager[None]:
        """Keep the spec's dataset, if it names one, from before `check` until the job is stored."""
        return nullcontext() if spec.dataset is None else self._datasets.submitting(project, spec.dataset)

    async def check(self, project: str, spec: JobSpec) -> None:
        """Check a spec. Raises InvalidInput or NotFound, which names the wrong value."""
        check_limits(spec)
        if spec.trainer is not None:
            parse_parameters(spec.trainer, spec.parameters)
        if spec.metrics:
            await asyncio.to_thread(MetricPatterns, spec.metrics)
        if spec.dataset is not None:
            dataset = await self._datasets.find(project, spec.dataset)
            if spec.trainer is not None:
                check_samples(spec.trainer, dataset)
        if spec.snapshot is not None:
            await self._snapshots.size_bytes(project, spec.snapshot)
