"""Making jobs: submit a spec, submit a job's spec again with changes, or plan either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Body, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import Example
from pydantic import BaseModel, ValidationError

from headway.core.job import JobSpec
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.job_views import JobView, job_view
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.submission import Idempotency, Submitted

router = guarded_router(prefix="/jobs", tags=["jobs"])
WRITE = [Depends(Allow(Action.JOBS_WRITE))]
SUBMIT = [Depends(Allow(Action.JOBS_WRITE, maximum_body_bytes=4 << 20))]
_SPEC_EXAMPLES: dict[str, Example] = {
    "trainer": {
        "summary": "A built-in trainer",
        "value": {"trainer": "cnn", "dataset": "mnist", "parameters": {"epochs": 2}, "world_size": 2},
    },
    "script": {
        "summary": "A script as text",
        "value": {"script": "train.py", "source": "print('hello')", "arguments": ["--steps", "10"], "world_size": 2},
    },
    "command": {
        "summary": "Any command, in an uploaded working directory",
        "value": {"command": ["./prepare.sh"], "snapshot": "0" * 64, "outputs": ["results/*.csv"]},
    },
}
_CHANGES_EXAMPLES: dict[str, Example] = {
    "arguments": {
        "summary": "Other arguments, and one variable removed",
        "value": {"name": "again", "arguments": ["--lr", "0.2"], "env": {"DEBUG": None}},
    }
}
Spec = Annotated[JobSpec, Body(openapi_examples=_SPEC_EXAMPLES)]
Changes = Annotated[dict[str, Any], Body(openapi_examples=_CHANGES_EXAMPLES)]


async def get_idempotency(
    request: Request, idempotency_key: Annotated[str | None, Header(min_length=1, max_length=256)] = None
) -> Idempotency:
    """The key that the client sent, and the body that it stands for."""
    return Idempotency(idempotency_key, await request.body())


IdempotencyHere = Annotated[Idempotency, Depends(get_idempotency)]


class Plan(BaseModel):
    """The result of a submission at this moment. `workers` maps names to ranks; empty if the job would wait."""

    sentence: str
    workers: dict[str, int]
    cold: str | None


@router.post("", dependencies=SUBMIT, status_code=201, responses={200: {"model": JobView}})
async def submit_job(
    spec: Spec,
    response: Response,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    idempotency: IdempotencyHere,
) -> JobView:
    """Submit a job. The same `Idempotency-Key` with the same body gets 200 and the same job."""
    return _answer(await server.submission.submit(caller, project, spec, idempotency), response)


@router.post("/plan", dependencies=SUBMIT)
async def plan_job(spec: Spec, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Plan:
    """Check a spec like a submission, and say where it would run or why it would wait. Nothing is stored."""
    return Plan(**(await server.submission.plan(caller, project, spec))._asdict())


@router.post("/{job}/rerun", dependencies=WRITE, status_code=201, responses={200: {"model": JobView}})
async def rerun_job(
    job: str,
    changes: Changes,
    response: Response,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    idempotency: IdempotencyHere,
) -> JobView:
    """Submit the job's spec again under another name. It starts from the beginning unless `from_checkpoint` is set.

    The body is a JSON merge patch (RFC 7396) of the spec: `{}` changes nothing, mappings are changed entry by entry,
    everything else is replaced, null removes. The result is checked like a submission.
    """
    with _fields_of_the_body():
        return _answer(await server.submission.rerun(caller, project, job, changes, idempotency), response)


@router.post("/{job}/rerun/plan", dependencies=WRITE)
async def plan_rerun(job: str, changes: Changes, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Plan:
    """Check what `rerun` would submit, and say where it would run or why it would wait. Nothing is stored."""
    with _fields_of_the_body():
        return Plan(**(await server.submission.plan_rerun(caller, project, job, changes))._asdict())


def _answer(submitted: Submitted, response: Response) -> JobView:
    response.status_code = 201 if submitted.new else 200
    response.headers["Location"] = f"/api/v1/jobs/{submitted.job.id}"
    return job_view(submitted.job, submitted.misfit)


@contextmanager
def _fields_of_the_body() -> Iterator[None]:
    """Report a spec that the changes made invalid in the way FastAPI reports an invalid body."""
    try:
        yield
    except ValidationError as error:
        of_body = [{**one, "loc": ("body", *one["loc"]), "model": JobSpec} for one in error.errors()]
        raise RequestValidationError(of_body) from error
