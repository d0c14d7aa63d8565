"""Jobs as they are stored."""

from __future__ import annotations

import json

from headway.core.job import Job, JobSpec


def test_streams_that_settle_are_stored_by_that_name_and_read_by_the_former() -> None:
    spec = JobSpec(script="s.py", source="1")
    job = Job(
        id="j",
        project="default",
        name="n",
        idempotency_key="n",
        body_hash="h",
        spec=spec,
        created_at=1.5,
        settling=(1, 2),
    )
    stored = json.loads(job.model_dump_json())
    assert "draining" not in stored
    assert Job.model_validate_json(json.dumps(stored)) == job
    stored["draining"] = stored.pop("settling")
    assert Job.model_validate_json(json.dumps(stored)) == job
