"""In which project a request acts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from headway.server.api.common import CallerHere, ServerHere

ProjectName = Annotated[
    str | None,
    Query(max_length=63, description="The project. Without it: `default`, or else the only one that you have."),
]


async def _project(caller: CallerHere, server: ServerHere, project: ProjectName = None) -> str:
    return await server.projects.of_request(caller, project)


ProjectHere = Annotated[str, Depends(_project)]
"""The project of a rank is its job's; a worker's requests name none: what it may read is what its jobs need."""
