"""The verbs that create jobs: submit a spec, rerun a job, and plan either. A fork is noted at its origin first."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from headway.core.allocation import FLEET
from headway.core.checkpoint import Checkpoint
from headway.core.job import Job, JobSpec, Origin
from headway.core.job_change import attributed, emit
from headway.core.rerun import rerun_fields
from headway.engines.base import Engine
from headway.errors import IdempotencyKeyReused, InvalidInput, NameTaken
from headway.server.access import Action, Caller, JobSubject, actor_of, made, require_in_project
from headway.server.clock import Clock
from headway.server.ids import draw_id
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.explanations import Explanations, Planned
from headway.server.services.jobs import Jobs
from headway.server.services.specs import Specs


class Submitted(NamedTuple):
    """The job. `new`: it was created now. `misfit`: why it cannot start even on an empty fleet; None if it can."""

    job: Job
    new: bool
    misfit: str | None


class Idempotency(NamedTuple):
    """What tells a repeated submission from a new one: its key, if the client sent one, and the body as it was sent."""

    key: str | None
    body: bytes


class Submission:
    """Every spec is checked before anything is stored. The same key with the same body returns the same job."""

    def __init__(
        self,
        *,
        engines: Mapping[str, Engine],
        default_engine: str,
        jobs: Jobs,
        specs: Specs,
        checkpoints: Checkpoints,
        explanations: Explanations,
        clock: Clock,
    ) -> None:
        self._engines = engines
        self._default_engine = default_engine
        self._jobs = jobs
        self._specs = specs
        self._checkpoints = checkpoints
        self._explanations = explanations
        self._clock = clock

    async def submit(self, caller: Caller, project: str, spec: JobSpec, idempotency: Idempotency) -> Submitted:
        """Create a job from a spec. Raises InvalidInput, NotFound, IdempotencyKeyReused, NameTaken."""
        require_in_project(caller, Action.JOBS_WRITE, project)
        with self._specs.submitting(project, spec):
            job, new = await self._store(caller, project, spec, idempotency)
        return Submitted(job, new, self._explanations.misfit(job) if new else None)

    async def _store(self, caller: Caller, project: str, spec: JobSpec, idempotency: Idempotency) -> tuple[Job, bool]:
        """Check the spec and store its job. Returns the job and whether it is new."""
        await self._specs.check(project, spec)
        spec = await self._on_engine(spec)
        draft = Job(
            id=draw_id("j-"),
            project=project,
            name=spec.name or "",
            idempotency_key=idempotency.key or secrets.token_hex(16),
            body_hash=hashlib.sha256(idempotency.body).hexdigest(),
            spec=spec,
            created_at=self._clock.now(),
            submitted_by=actor_of(caller),
            labels=spec.labels,
            notes=spec.notes,
        )
        if spec.from_checkpoint is None:
            return await self._insert(draft)
        return await self._fork(caller, draft, spec.from_checkpoint)

    async def rerun(
        self, caller: Caller, project: str, reference: str, changes: Mapping[str, Any], idempotency: Idempotency
    ) -> Submitted:
        """Submit a job's spec again, with changes, as a JSON merge patch.

        Raises the errors of `submit`, and pydantic's ValidationError for a changed field.
        """
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        of_this_job = idempotency._replace(body=job.id.encode() + b"\n" + idempotency.body)
        return await self.submit(caller, project, _changed(job, changes), of_this_job)

    async def plan(self, caller: Caller, project: str, spec: JobSpec) -> Planned:
        """Where a job of the spec would run now, or why it would wait. Nothing is stored. Raises the errors of
        `submit`.
        """
        require_in_project(caller, Action.JOBS_WRITE, project)
        await self._specs.check(project, spec)
        spec = await self._on_engine(spec)
        if spec.name is not None and await self._jobs.named(project, spec.name) is not None:
            raise NameTaken(f"Job {spec.name} exists already. Choose another name.")
        draft = Job(
            id="",
            project=project,
            name=spec.name or spec.title,
            idempotency_key="",
            body_hash="",
            spec=spec,
            created_at=self._clock.now(),
        )
        return self._explanations.plan(draft)

    async def plan_rerun(self, caller: Caller, project: str, reference: str, changes: Mapping[str, Any]) -> Planned:
        """The plan of what `rerun` would submit. Raises the errors of `rerun`."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        return await self.plan(caller, project, _changed(job, changes))

    async def _on_engine(self, spec: JobSpec) -> JobSpec:
        """The spec with the engine that is to run it. Raises InvalidInput, Unavailable."""
        name = spec.engine or self._default_engine
        engine = self._engines.get(name)
        if engine is None:
            known = ", ".join(self._engines)
            raise InvalidInput(f"engine is {name}, which this server does not have. It has: {known}.")
        if name != FLEET:
            spec = spec.model_copy(update={"engine": name})
        if spec.allocated and spec.where:
            raise InvalidInput(f"where chooses among the fleet's workers; engine {name} makes its own: leave it out.")
        if spec.allocated and spec.minimum_world_size is not None:
            raise InvalidInput(f"minimum_world_size is for the fleet; engine {name} makes all workers: leave it out.")
        await engine.check(spec)
        return spec

    async def _known(self, draft: Job) -> Job | None:
        """The earlier job with the draft's key. Raises IdempotencyKeyReused if it had another body."""
        known = await self._jobs.with_key(draft.project, draft.idempotency_key)
        if known is not None and known.body_hash != draft.body_hash:
            raise IdempotencyKeyReused(
                f"Idempotency key {known.idempotency_key} was used for job {known.name} with another body. "
                "Send the same body, or a new key."
            )
        return known

    async def _insert(self, draft: Job) -> tuple[Job, bool]:
        """Store the job, with a drawn name if it has none. Returns the job and whether it is new."""
        while True:
            name = draft.name or f"{_slug(draft.spec.title)}-{draw_id('', 4)}"
            named = draft.model_copy(update={"name": name})
            job = attributed(named, emit(named, "job.submitted", draft.created_at), draft.submitted_by)
            made(JobSubject(job.id, job.project))
            try:
                return await self._jobs.insert(job), True
            except NameTaken:
                if draft.name:
                    raise
            except IdempotencyKeyReused:
                known = await self._known(draft)
                if known is None:
                    raise
                return known, False

    async def _fork(self, caller: Caller, draft: Job, reference: str) -> tuple[Job, bool]:
        """Store a job that starts from another's checkpoint. It is first noted there as a user, so that the checkpoint
        is kept."""
        known = await self._known(draft)
        if known is not None:
            return known, False
        origin, checkpoints = await self._checkpoints.use(caller, draft.project, reference, draft.id)
        new = False
        try:
            job, new = await self._insert(_forked(draft, origin, checkpoints))
            return job, new
        finally:
            if not new:
                await self._checkpoints.release(origin.job, draft.id)


def _forked(draft: Job, origin: Origin, checkpoints: tuple[Checkpoint, ...]) -> Job:
    return draft.model_copy(update={"origin": origin, "checkpoints": checkpoints})


def _changed(job: Job, changes: Mapping[str, Any]) -> JobSpec:
    try:
        return JobSpec.model_validate(rerun_fields(job.spec, changes))
    except ValueError as error:
        if type(error) is not ValueError:
            raise  # pydantic's, which names each field
        raise InvalidInput(f"Job {job.name}: {error}.") from error


def _slug(title: str) -> str:
    slug = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in title.lower())
    return slug.strip("-")[:40] or "job"
