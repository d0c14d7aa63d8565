"""How all jobs spent their time."""

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
    """How many jobs there are, and how they spent their time together."""

    jobs: int


@router.get("")
async def get_project_goodput(
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    days: Annotated[float, Query(gt=0, le=3650, description="Only jobs submitted in the last so many days.")] = 30,
) -> ProjectGoodput:
    """How all jobs spent their time: training that counts, repeated training, starting, waiting, pauses."""
    total, count = await server.goodputs.of_project(caller, project, days * _DAY_SECONDS)
    return ProjectGoodput(jobs=count, **{name: getattr(total, name) for name in Goodput.model_fields})
