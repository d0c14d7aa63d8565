"""Where the time of all jobs went."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from headway.core.goodput import Goodput
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(prefix="/goodput", tags=["jobs"], dependencies=[Depends(Allow(Action.JOBS_READ))])
_DAY_SECONDS = 86_400.0


class ProjectGoodput(Goodput):
    """Where the time of many jobs went, and how many they are."""

    jobs: int


@router.get("")
async def get_project_goodput(
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    days: Annotated[float, Query(gt=0, le=3650, description="Jobs submitted in these last days.")] = 30,
) -> ProjectGoodput:
    """Where the time of all jobs went: training that counts or was done again, starting, waiting, pauses."""
    total, count = await server.goodputs.of_project(caller, project, days * _DAY_SECONDS)
    return ProjectGoodput(jobs=count, **{name: getattr(total, name) for name in Goodput.model_fields})
