"""Inquiries of users to running ranks: run a command beside one, or show stacks. They are kept in memory and answered
within a minute."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from typing import Literal

from headway.brokers.base import Broker
from headway.core.job import Job, WakeUp
from headway.core.protocol import Inquiry, InquiryAnswer
from headway.core.status import AssignmentState
from headway.errors import Conflict, NotFound, Unavailable
from headway.server.access import Action, Caller, detail, require_as_worker
from headway.server.ids import draw_id
from headway.server.services.audit import Audit
from headway.server.services.jobs import Jobs

_ANSWER_SECONDS = 15.0


@dataclass
class _Open:
    worker: str
    inquiry: Inquiry
    answer: asyncio.Future[InquiryAnswer]


class Inquiries:
    """The answer to the worker's next heartbeat carries the inquiry. A wake-up makes the worker send that heartbeat at
    once."""

    def __init__(self, broker: Broker, jobs: Jobs, audit: Audit) -> None:
        self._broker = broker
        self._jobs = jobs
        self._audit = audit
        self._open: dict[str, _Open] = {}

    async def execute(
        self,
        caller: Caller,
        project: str,
        reference: str,
        rank: int,
        command: tuple[str, ...],
        timeout_seconds: float,
    ) -> InquiryAnswer:
        """Run a command beside a rank, in its directory and with its variables. Raises Conflict, Unavailable."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        detail(shlex.join(command))
        await self._audit.store()
        return await self._ask(job, _worker_of(job, rank), "exec", rank, command, timeout_seconds)

    async def stacks(self, caller: Caller, project: str, reference: str) -> list[InquiryAnswer]:
        """The stacks of all ranks: one answer per worker. Raises Conflict, Unavailable."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        ranks = range(job.attempt.world_size if job.attempt else 1)  # without an attempt, `_worker_of` raises the error
        workers = {_worker_of(job, rank): rank for rank in reversed(ranks)}
        asked = (self._ask(job, worker, "stacks", rank, (), _ANSWER_SECONDS) for worker, rank in workers.items())
        return list(await asyncio.gather(*asked))

    async def _ask(
        self,
        job: Job,
        worker: str,
        kind: Literal["exec", "stacks"],
        rank: int,
        command: tuple[str, ...],
        timeout_seconds: float,
    ) -> InquiryAnswer:
        inquiry = Inquiry(
            id=draw_id("q-"),
            job=job.id,
            attempt=job.attempt_number,
            kind=kind,
            rank=rank,
            command=command,
            timeout_seconds=timeout_seconds,
        )
        future: asyncio.Future[InquiryAnswer] = asyncio.get_running_loop().create_future()
        self._open[inquiry.id] = _Open(worker, inquiry, future)
        try:
            await self._broker.publish_wakeup(WakeUp(worker=worker, job=job.id, attempt=job.attempt_number))
            async with asyncio.timeout(timeout_seconds + _ANSWER_SECONDS):
                return await future
        except TimeoutError:
            raise Unavailable(f"The worker of job {job.name} did not answer. See `headway workers`.") from None
        finally:
            self._open.pop(inquiry.id, None)

    def of_worker(self, worker: str) -> tuple[Inquiry, ...]:
        """The open inquiries for the worker. They are repeated until it answers."""
        return tuple(one.inquiry for one in self._open.values() if one.worker == worker)

    def answer(self, caller: Caller, worker: str, inquiry_id: str, answer: InquiryAnswer) -> None:
        """Take a worker's answer. Raises NotFound when no request waits for it any more."""
        require_as_worker(caller, worker)
        one = self._open.get(inquiry_id)
        if one is None or one.worker != worker:
            raise NotFound(f"Inquiry {inquiry_id} is not open.")
        if not one.answer.done():
            one.answer.set_result(answer)


def _worker_of(job: Job, rank: int) -> str:
    for assignment in job.attempt.assignments if job.attempt else ():
        if rank in assignment.ranks:
            if assignment.state is AssignmentState.RUNNING:
                return assignment.worker
            break
    else:
        if job.attempt is not None and job.active:
            raise NotFound(f"Job {job.name} has no rank {rank}; its ranks are 0 to {job.attempt.world_size - 1}.")
    raise Conflict(f"Rank {rank} of job {job.name} is not running: the job is {job.status}.")
