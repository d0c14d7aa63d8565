"""The verbs of projects: list, add; and which one a request is about."""

from __future__ import annotations

from headway.core.account import DEFAULT_PROJECT, Project
from headway.errors import Conflict, InvalidInput, NotAllowed
from headway.server.access import (
    Action,
    Caller,
    CallerKind,
    ProjectSubject,
    made,
    no_project,
    require,
    require_in_installation,
    sees_project,
)
from headway.server.clock import Clock
from headway.server.directory import Directory
from headway.server.services.jobs import Jobs


class Projects:
    """A user sees the projects in which the user has a role; an administrator sees all."""

    def __init__(self, directory: Directory, jobs: Jobs, clock: Clock) -> None:
        self._directory = directory
        self._jobs = jobs
        self._clock = clock

    async def add(self, caller: Caller, name: str) -> Project:
        """A new project. Raises NotAllowed, Conflict."""
        require_in_installation(caller, Action.PROJECTS_WRITE)
        made(ProjectSubject(name))
        async with self._directory.changing:
            if self._directory.has_project(name):
                raise Conflict(f"Project {name} exists already.")
            project = Project(id=name, created_at=self._clock.now())
            await self._directory.put(project)
        return project

    async def of_request(self, caller: Caller, named: str | None) -> str:
        """The project that a request is about: as named, or that of the token, or the default, or the only one.

        A rank's is its job's. A worker's requests name none: what it may read is what its jobs need.
        Raises NotFound, also for what the caller may not see, NotAllowed, InvalidInput.
        """
        if caller.kind is not CallerKind.USER:
            found = await self._jobs.project_of(caller.job) if caller.job is not None else None
            return found or DEFAULT_PROJECT
        if named is None:
            return self._unnamed(caller)
        if not self._directory.has_project(named):
            raise no_project(named)
        require(caller, Action.PROJECTS_READ, ProjectSubject(named), no_project(named))
        return named

    def _unnamed(self, caller: Caller) -> str:
        if sees_project(caller, DEFAULT_PROJECT):
            return DEFAULT_PROJECT
        seen = self._seen(caller)
        if not seen:
            raise NotAllowed(f"User {caller.user_name} has no role in any project. An administrator can give one.")
        if len(seen) > 1:
            names = ", ".join(project.id for project in seen)
            raise InvalidInput(f"Name a project, by --project or HEADWAY_PROJECT. Yours are: {names}.")
        return seen[0].id

    def _seen(self, caller: Caller) -> list[Project]:
        return [project for project in self._directory.projects() if sees_project(caller, project.id)]

    def list(self, caller: Caller) -> list[Project]:
        """The projects that the caller sees, by name. Raises NotAllowed."""
        require_in_installation(caller, Action.PROJECTS_READ)
        return self._seen(caller)
