"""Jobs: submit, plan, list, get, describe, cancel, delete, follow."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Body, Depends, Header, Query, Request, Response
from fastapi.openapi.models import Example
from fastapi.responses import StreamingResponse
from pydantic import AllowInfNan, BaseModel, Field, TypeAdapter, ValidationError

from headway.core.artifact import Artifact
from headway.core.attempt import Attempt
from headway.core.cold_start import cold_reason
from headway.core.damaged import DamagedRow, RowKind
from headway.core.frozen import Frozen
from headway.core.goodput import Goodput, goodput
from headway.core.job import DEFAULT_PROJECT, MAXIMUM_NOTES_CHARACTERS, Job, JobSpec, Origin
from headway.core.job_query import JobQuery, JobSort, sort_values
from headway.core.json_value import LARGEST_INTEGER, shown
from headway.core.name import check_labels
from headway.core.placement import Gang, gang_of, place_queue
from headway.core.resume_point import resume_sentence, resumes_from, stop_sentence
from headway.core.status import JobStatus
from headway.core.waiting import Waiting, explain_misfit, waiting
from headway.errors import Damaged, InvalidInput, NameTaken
from headway.server.access import Action
from headway.server.api.bodies import router_of_json
from headway.server.api.checkpoints import CheckpointView, checkpoint_views
from headway.server.api.common import STREAM, Allow, JobHere, ServerHere, event_stream, start_cursor
from headway.server.server import Server
from headway.server.services.jobs import draw_id
from headway.server.services.streams import StreamKind

router = router_of_json(prefix="/jobs", tags=["jobs"])
READ = [Depends(Allow(Action.JOBS_READ))]
WRITE = [Depends(Allow(Action.JOBS_WRITE))]
SUBMIT = [Depends(Allow(Action.JOBS_WRITE, maximum_body_bytes=4 << 20))]


Moment = Annotated[float, AllowInfNan(False)]
_CURSOR = TypeAdapter(
    tuple[Annotated[float, AllowInfNan(False)] | None, Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]]
)


class JobView(BaseModel):
    """A job as users see it. Times are seconds since the epoch; `sentence` says how it stands, for people.

    `cold`: why its ranks start as new processes, which takes longer; null if they start warm. `origin`: the checkpoint
    it was forked from. `hold`: it is paused, or about to be. `resumes_from`: the step from which its next attempt
    would continue; null: from the beginning. `waiting`: where it stands in the queue, if one job alone
    is asked for.
    """

    id: str
    project: str
    name: str
    status: JobStatus
    sentence: str
    reason: str | None
    blame: str | None
    spec: JobSpec
    cold: str | None
    labels: dict[str, str]
    notes: str
    attempt: Attempt | None
    retries_used: int
    result: dict[str, Any] | None
    artifacts: tuple[Artifact, ...]
    checkpoints: list[CheckpointView]
    origin: Origin | None
    hold: bool
    resumes_from: int | None
    waiting: Waiting | None
    warnings: tuple[str, ...]
    created_at: float
    started_at: float | None
    ended_at: float | None


class JobPage(BaseModel):
    """Jobs in the order asked for; `next` is the cursor of the page after this one.

    `damaged`: jobs whose rows cannot be read, whatever was asked for; only on the first page.
    """

    jobs: list[JobView]
    next: str | None
    damaged: list[DamagedRow]


class Plan(BaseModel):
    """What a submission would come to, now. `workers` maps names to ranks; empty if it would wait."""

    sentence: str
    workers: dict[str, int]
    cold: str | None


class Description(Frozen):
    """What people note about a job; what is left out stays."""

    labels: Annotated[dict[str, str], Field(max_length=64)] | None = None
    notes: Annotated[str, Field(max_length=MAXIMUM_NOTES_CHARACTERS)] | None = None


_DERIVED = ("resumes_from", "reason", "blame", "sentence", "cold", "checkpoints", "waiting")
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


def view(job: Job, sentence: str | None = None, waits: Waiting | None = None) -> JobView:
    """The job without its undelivered events and other inner things."""
    fields = {name: getattr(job, name) for name in JobView.model_fields if name not in _DERIVED}
    return JobView(
        **fields,
        reason=job.reason.value if job.reason else None,
        blame=job.reason.blame.value if job.reason else None,
        sentence=job.sentence if sentence is None else sentence,
        cold=cold_reason(job.spec),
        checkpoints=checkpoint_views(job),
        waiting=waits,
        resumes_from=resumes_from(job),
    )


class AttemptView(Attempt):
    """An attempt as users see it. `repeats_steps`: how many steps, as far as they were logged, the attempts before it
    had done behind the step from which it went on; null if nothing was logged."""

    repeats_steps: int | None = None


def explain(server: Server, job: Job) -> tuple[str, Waiting | None]:
    """How the job stands, in a sentence, and why it waits if it does."""
    if job.status is JobStatus.QUEUED and job.hold:
        step = resumes_from(job)
        if step is not None:
            return f"Paused at step {step}. `headway resume {job.name}` lets it continue.", None
        return f"Paused. After `headway resume {job.name}`: {resume_sentence(job)}", None
    if job.status is JobStatus.QUEUED:
        waits = why_waiting(server, job)
        return f"{job.sentence} {waits.sentence}".strip(), waits
    if job.status is JobStatus.STARTING:
        return "Its workers are preparing it and starting its ranks.", None
    if job.status is JobStatus.RUNNING:
        return "Training." if job.spec.trainer else "Running.", None
    if job.status is JobStatus.STOPPING and job.hold:
        return stop_sentence(job), None
    if job.status is JobStatus.STOPPING and not job.sentence:
        return "Its ranks are being ended.", None
    return job.sentence, None


def why_waiting(server: Server, job: Job) -> Waiting:
    """Where a queued job stands, or one that is not submitted yet would."""
    queue = _queue_with(server, job)
    active = server.jobs.unsettled.active()
    return waiting(job, queue, server.workers.placeable(), active, server.telemetry.remaining_seconds())


def _queue_with(server: Server, job: Job) -> list[Gang]:
    """The queue, with the job at its place if it is not in there: behind those of its priority."""
    queue = server.queue.gangs()
    if job.id not in server.queue:
        queue.append(gang_of(job))
        queue.sort(key=lambda gang: -gang.priority)
    return queue


@router.post("", dependencies=SUBMIT, status_code=201, responses={200: {"model": JobView}})
async def submit(
    spec: Annotated[JobSpec, Body(openapi_examples=_SPEC_EXAMPLES)],
    request: Request,
    response: Response,
    server: ServerHere,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=256)] = None,
) -> JobView:
    """Submit a job. The same `Idempotency-Key` with the same body answers 200 with the same job."""
    return await submit_spec(spec, await request.body(), response, server, idempotency_key)


async def submit_spec(
    spec: JobSpec, body: bytes, response: Response, server: Server, idempotency_key: str | None
) -> JobView:
    """Check and submit a spec; `body` is what the key stands for."""
    await server.specs.check(DEFAULT_PROJECT, spec)
    if spec.from_checkpoint is None:
        job, new = await server.jobs.submit(spec, body, idempotency_key)
    else:
        job, new = await _fork(spec, spec.from_checkpoint, body, idempotency_key, server)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return view(job, explain_misfit(job, server.backends.engine.workers()) if new else None)


async def _fork(
    spec: JobSpec, reference: str, body: bytes, idempotency_key: str | None, server: Server
) -> tuple[Job, bool]:
    """Submit a job that starts from another's checkpoint, which first notes it as a user, so that it is kept."""
    known = await server.jobs.submitted(body, idempotency_key)
    if known is not None:
        return known, False
    job_id = draw_id("j-")
    origin, checkpoints = await server.checkpoints.use(reference, job_id)
    new = False
    try:
        job, new = await server.jobs.submit(
            spec, body, idempotency_key, job_id=job_id, origin=origin, checkpoints=checkpoints
        )
        return job, new
    finally:
        if not new:
            await server.checkpoints.release(origin.job, job_id)


@router.post("/plan", dependencies=SUBMIT)
async def plan(spec: Annotated[JobSpec, Body(openapi_examples=_SPEC_EXAMPLES)], server: ServerHere) -> Plan:
    """Check a spec as a submission would, and say where it would run or why it would wait. Nothing is stored."""
    return await plan_spec(spec, server)


async def plan_spec(spec: JobSpec, server: Server) -> Plan:
    """Where a job of that spec would run now, or why it would wait."""
    await server.specs.check(DEFAULT_PROJECT, spec)
    if spec.name is not None and await server.backends.database.job_named(DEFAULT_PROJECT, spec.name) is not None:
        raise NameTaken(f"Job {spec.name} exists already. Choose another name.")
    workers = server.workers.placeable()
    job = Job(
        id="", name=spec.name or spec.title, idempotency_key="", body_hash="", spec=spec, created_at=server.clock.now()
    )
    placements = place_queue(_queue_with(server, job), workers, server.jobs.unsettled.used_slots())
    shares = next((shares for placed, shares in placements if placed.job == job.id), [])
    sentence = "It would start at once." if shares else why_waiting(server, job).sentence
    return Plan(
        sentence=sentence, workers={share.worker_name: share.rank_count for share in shares}, cold=cold_reason(spec)
    )


@router.get("", dependencies=READ)
async def list_jobs(
    server: ServerHere,
    status: Annotated[list[JobStatus] | None, Query(max_length=20, description="Only these; may be repeated.")] = None,
    name: Annotated[str, Query(max_length=63, description="A part of the name.")] = "",
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    label: Annotated[
        list[str] | None, Query(max_length=64, description="`NAME=VALUE`; may be repeated, all must be there.")
    ] = None,
    created_after: Annotated[Moment | None, Query(description="Seconds since the epoch.")] = None,
    created_before: Annotated[Moment | None, Query(description="Seconds since the epoch.")] = None,
    sort: JobSort = JobSort.CREATED,
    order: Annotated[Literal["descending", "ascending"], Query()] = "descending",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> JobPage:
    """Jobs, newest first unless asked otherwise; those without the figure to sort by come last."""
    query = JobQuery(
        statuses=tuple(status or ()),
        name=name,
        dataset=dataset,
        labels=dict(_label(one) for one in label or ()),
        created_after=created_after,
        created_before=created_before,
        sort=sort,
        descending=order == "descending",
        after=_decode(cursor) if cursor else None,
        limit=limit + 1,
    )
    found = await server.jobs.list(query)
    page = found[:limit]
    more = json.dumps([sort_values(page[-1])[sort], page[-1].sequence]) if len(found) > limit else None
    damaged = server.damaged.list(RowKind.JOB) if cursor is None else []
    return JobPage(jobs=[view(job) for job in page], next=more, damaged=damaged)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"label is {text[:80]!r}; it must be NAME=VALUE.")
    return name, value


def _decode(cursor: str) -> tuple[float | None, int]:
    try:
        return _CURSOR.validate_json(cursor)
    except ValidationError as error:
        raise InvalidInput(
            f"Cursor {shown(cursor)} is not one of this server. Leave it out to get the first page."
        ) from error


@router.get("/{job}", dependencies=READ)
async def get_job(job: JobHere, server: ServerHere) -> JobView:
    """One job, by id or name."""
    return view(job, *explain(server, job))


@router.post("/{job}/cancel", dependencies=WRITE)
async def cancel(
    job: JobHere,
    server: ServerHere,
    kill: Annotated[bool, Query(description="SIGKILL at once, without time to save anything.")] = False,
) -> JobView:
    """End the job. Its ranks get SIGTERM, and SIGKILL after a grace time."""
    return view(await server.jobs.cancel(job.id, kill=kill))


@router.post("/{job}/pause", dependencies=WRITE)
async def pause(job: JobHere, server: ServerHere) -> JobView:
    """Ask the ranks to save and end. The job is queued, on hold, until it is resumed; it needs no slots meanwhile.

    `sentence` says what will happen, and `resumes_from` from which step it would continue.
    """
    paused = await server.jobs.pause(job.id)
    return view(paused, stop_sentence(paused))


@router.post("/{job}/resume", dependencies=WRITE)
async def resume(job: JobHere, server: ServerHere) -> JobView:
    """Let a paused job continue from its newest checkpoint, or, as `sentence` says, from the beginning."""
    resumed = await server.jobs.resume(job.id)
    return view(resumed, resume_sentence(resumed))


@router.patch("/{job}", dependencies=WRITE)
async def describe(job: JobHere, description: Description, server: ServerHere) -> JobView:
    """Change the job's labels and notes."""
    try:
        check_labels(description.labels or {})
    except ValueError as error:
        raise InvalidInput(f"labels: {error}.") from error
    return view(await server.jobs.describe(job.id, description.labels, description.notes))


@router.delete("/{job}", dependencies=WRITE, status_code=204)
async def delete(job: str, server: ServerHere) -> None:
    """Delete an ended job with its logs, metrics and artifacts. Its name is free, its idempotency key stays taken.

    Of a damaged job the key is free as well.
    """
    try:
        found = await server.jobs.find(job)
    except Damaged as damaged:
        await server.damaged.delete(RowKind.JOB, damaged.details["row_id"])
        return
    await server.jobs.delete(found)
    await server.checkpoints.delete_objects(found.id)
    await server.artifacts.delete_all(found.id)


@router.get("/{job}/attempts", dependencies=READ)
async def attempts(job: JobHere, server: ServerHere) -> list[AttemptView]:
    """All attempts, oldest first."""
    found = await server.jobs.attempts(job)
    repeats = await server.streams.repeated_steps(job, found)
    return [AttemptView(**{**one.__dict__, "repeats_steps": steps}) for one, steps in zip(found, repeats, strict=True)]


@router.get("/{job}/goodput", dependencies=READ)
async def get_goodput(job: JobHere, server: ServerHere) -> Goodput:
    """Where the job's time went so far."""
    return goodput(job, await server.jobs.attempts(job), server.clock.now())


@router.get("/{job}/follow", dependencies=READ, response_class=StreamingResponse, responses=STREAM)
async def follow(
    job: JobHere,
    request: Request,
    server: ServerHere,
    include: Annotated[str, Query(description="Which of events, logs and metrics.")] = "events,logs,metrics",
    cursor: Annotated[str | None, Query()] = None,
) -> Response:
    """Server-sent events of everything about the job, until it has ended; goes on behind `Last-Event-ID`."""
    kinds: set[StreamKind] = set()
    for word in include.split(","):
        match word.strip():
            case "events" | "logs" | "metrics" as kind:
                kinds.add(kind)
            case other:
                raise InvalidInput(f"{other!r} cannot be followed; there are events, logs and metrics.")
    return event_stream(server, job, start_cursor(request, cursor), kinds)
