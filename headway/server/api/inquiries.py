"""Inquiries into a running job: run a command beside a rank, or show the stacks of all ranks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from headway.core.frozen import Frozen, Text
from headway.core.job import LARGEST_WORLD_SIZE
from headway.core.protocol import InquiryAnswer
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(tags=["inquiries"])


class Command(Frozen):
    """A command to run beside a rank's process, in the rank's directory and with its variables."""

    command: tuple[Text, ...] = Field(min_length=1, max_length=1000, examples=[["ls", "-l"]])
    rank: int = Field(default=0, ge=0, lt=LARGEST_WORLD_SIZE)
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)


@router.post("/jobs/{job}/exec", dependencies=[Depends(Allow(Action.JOBS_WRITE))])
async def run_command(
    job: str, command: Command, caller: CallerHere, project: ProjectHere, server: ServerHere
) -> InquiryAnswer:
    """Run a command beside a rank of a running job, and return its output and exit code."""
    return await server.inquiries.execute(caller, project, job, command.rank, command.command, command.timeout_seconds)


@router.post("/jobs/{job}/stacks", dependencies=[Depends(Allow(Action.JOBS_WRITE))])
async def read_stacks(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> list[InquiryAnswer]:
    """The Python stacks of all ranks of a running job: one answer per worker."""
    return await server.inquiries.stacks(caller, project, job)


@router.post(
    "/workers/{worker}/inquiries/{inquiry}",
    dependencies=[Depends(Allow(Action.WORKER_ACT, maximum_body_bytes=8 << 20))],
    status_code=204,
)
async def answer_inquiry(
    worker: str,
    inquiry: Annotated[str, Field(max_length=40)],
    answer: InquiryAnswer,
    caller: CallerHere,
    server: ServerHere,
) -> None:
    """A worker's answer."""
    server.inquiries.answer(caller, worker, inquiry, answer)
