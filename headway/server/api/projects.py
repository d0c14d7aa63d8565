"""Projects: what jobs, datasets and snapshots belong to."""

from __future__ import annotations

from fastapi import Depends
from pydantic import BaseModel, ConfigDict

from headway.core.name import Name
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(prefix="/projects", tags=["projects"])


class NewProject(BaseModel):
    """A project to add."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class ProjectView(BaseModel):
    """A project, and when it was made, in seconds since the epoch."""

    name: str
    created_at: float


@router.get("", dependencies=[Depends(Allow(Action.PROJECTS_READ))])
async def list_projects(caller: CallerHere, server: ServerHere) -> list[ProjectView]:
    """The projects in which you have a role, by name. Administrators see all."""
    return [ProjectView(name=one.id, created_at=one.created_at) for one in server.projects.list(caller)]


@router.post("", dependencies=[Depends(Allow(Action.PROJECTS_WRITE))], status_code=201)
async def add_project(new: NewProject, caller: CallerHere, server: ServerHere) -> ProjectView:
    """Add a project. Administrators only."""
    project = await server.projects.add(caller, new.name)
    return ProjectView(name=project.id, created_at=project.created_at)
