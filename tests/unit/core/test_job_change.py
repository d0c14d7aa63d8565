"""The smallest changes of a job."""

from __future__ import annotations

from headway.core.job import Job, JobSpec
from headway.core.job_change import MAXIMUM_WARNINGS, warn, warn_once
from headway.core.warning_kind import WarningKind


def test_a_warning_of_a_kind_comes_once_however_many_others_there_were() -> None:
    spec = JobSpec(script="s.py", source="1")
    job = Job(id="j", project="default", name="n", idempotency_key="n", body_hash="h", spec=spec, created_at=0.0)
    for number in range(MAXIMUM_WARNINGS):
        job = warn(job, f"warning {number}", 0)
    for step in (1, 2):
        job = warn_once(job, WarningKind.CHECKPOINT_NOT_SAVED, f"step {step}", 0)
    said = [event.data["warning"] for event in job.events]
    assert said[MAXIMUM_WARNINGS:] == ["step 1"]
    assert len(job.warnings) == MAXIMUM_WARNINGS
    job = warn_once(job, WarningKind.LINKS_LEFT_OUT, "links", 0)
    assert job.events[-1].data["warning"] == "links"
