"""Jobs as databases store them: their JSON."""

from __future__ import annotations

from functools import lru_cache

from headway.core.job import Job

_KEPT_JOBS = 1000
_LARGEST_KEPT_CHARACTERS = 8 << 10


def job_of_text(text: str) -> Job:
    """The job of stored JSON. The same text gives the same job: lists read most jobs again and again.

    Raises ValueError.
    """
    return _kept(text) if len(text) <= _LARGEST_KEPT_CHARACTERS else Job.model_validate_json(text)


@lru_cache(_KEPT_JOBS)
def _kept(text: str) -> Job:
    return Job.model_validate_json(text)
