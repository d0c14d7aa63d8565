"""The audit: who did what to what."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from headway.core.audit import AuditEntry
from headway.database.base import AuditQuery
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(prefix="/audit", tags=["audit"])
Text = Annotated[str | None, Query(max_length=64)]


@router.get("", dependencies=[Depends(Allow(Action.AUDIT_READ))])
async def list_audit(
    caller: CallerHere,
    server: ServerHere,
    of_project: Text = None,
    user: Text = None,
    before: Annotated[str | None, Query(max_length=64, description="The `id` of the last entry that you have.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditEntry]:
    """What users changed and what was refused, newest first. Administrators only.

    What workers and ranks do is in the events of jobs.
    """
    return await server.audit.list(caller, AuditQuery(of_project, user, before, limit))
