"""The built-in trainers and their parameters."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from headway.core.parameters import TRAINER_PARAMETERS
from headway.server.access import Action
from headway.server.api.common import Allow

router = APIRouter(prefix="/trainers", tags=["trainers"], dependencies=[Depends(Allow(Action.JOBS_READ))])


@router.get("")
async def list_trainers() -> dict[str, dict[str, Any]]:
    """Each trainer's parameters as JSON schema, with ranges, defaults and help."""
    return {name: model.model_json_schema() for name, model in TRAINER_PARAMETERS.items()}
