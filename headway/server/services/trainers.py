"""The verb of trainers: list them with their parameters."""

from __future__ import annotations

from typing import Any

from headway.core.parameters import TRAINER_PARAMETERS
from headway.server.access import Action, Caller, require_in_project


def trainer_schemas(caller: Caller, project: str) -> dict[str, dict[str, Any]]:
    """Each built-in trainer's parameters as JSON schema."""
    require_in_project(caller, Action.JOBS_READ, project)
    return {name: model.model_json_schema() for name, model in TRAINER_PARAMETERS.items()}
