"""The built-in trainers and their parameters."""

from __future__ import annotations

from typing import Any

from fastapi import Depends

from headway.server.access import Action
from headway.server.api.common import CallerHere
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.trainers import trainer_schemas

router = guarded_router(prefix="/trainers", tags=["trainers"], dependencies=[Depends(Allow(Action.JOBS_READ))])


@router.get("")
async def list_trainers(caller: CallerHere, project: ProjectHere) -> dict[str, dict[str, Any]]:
    """Each trainer's parameters as JSON schema, with ranges, defaults and help."""
    return trainer_schemas(caller, project)
