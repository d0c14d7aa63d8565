"""A job's spec submitted again, with changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import Example
from pydantic import ValidationError

from headway.core.job import Job, JobSpec
from headway.core.rerun import rerun_fields
from headway.errors import InvalidInput
from headway.server.api.bodies import router_of_json
from headway.server.api.common import JobHere, ServerHere
from headway.server.api.jobs import WRITE, JobView, Plan, plan_spec, submit_spec

router = router_of_json(prefix="/jobs", tags=["jobs"])
_EXAMPLES: dict[str, Example] = {
    "arguments": {
        "summary": "Other arguments, and one variable less",
        "value": {"name": "again", "arguments": ["--lr", "0.2"], "variables": {"DEBUG": None}},
    }
}
Changes = Annotated[dict[str, Any], Body(openapi_examples=_EXAMPLES)]


@router.post("/{job}/rerun", dependencies=WRITE, status_code=201)
async def rerun(
    job: JobHere,
    changes: Changes,
    request: Request,
    response: Response,
    server: ServerHere,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=256)] = None,
) -> JobView:
    """Submit the job's spec again under another name, at the beginning unless `from_checkpoint` says otherwise.

    The body is a JSON merge patch (RFC 7396) of the spec: `{}` changes nothing, mappings are changed entry by entry,
    everything else is replaced, null removes. It is checked as a submission is.
    """
    body = job.id.encode() + b"\n" + await request.body()
    return await submit_spec(_changed(job, changes), body, response, server, idempotency_key)


@router.post("/{job}/rerun/plan", dependencies=WRITE)
async def plan_rerun(job: JobHere, changes: Changes, server: ServerHere) -> Plan:
    """Check what `rerun` would submit, and say where it would run or why it would wait. Nothing is stored."""
    return await plan_spec(_changed(job, changes), server)


def _changed(job: Job, changes: dict[str, Any]) -> JobSpec:
    try:
        return JobSpec.model_validate(rerun_fields(job.spec, changes))
    except ValidationError as error:
        of_body = [{**one, "loc": ("body", *one["loc"]), "model": JobSpec} for one in error.errors()]
        raise RequestValidationError(of_body) from error
    except ValueError as error:
        raise InvalidInput(f"Job {job.name}: {error}.") from error
