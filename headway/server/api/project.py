"""The project of a request. Only this module knows that there is one project so far."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from headway.server.api.common import CallerHere, ServerHere

DEFAULT_PROJECT = "default"


async def _project(caller: CallerHere, server: ServerHere) -> str:
    if caller.job is not None:
        return await server.jobs.project_of(caller.job) or DEFAULT_PROJECT
    return DEFAULT_PROJECT


ProjectHere = Annotated[str, Depends(_project)]
"""A rank acts in the project of its job; all other callers act in the only project."""
