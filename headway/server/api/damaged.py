"""Stored rows that cannot be read."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from headway.core.damaged import DamagedRow, RowKind
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(prefix="/damaged", tags=["damaged"])


@router.get("", dependencies=[Depends(Allow(Action.DAMAGE_READ))])
async def list_damaged(caller: CallerHere, server: ServerHere, kind: RowKind | None = None) -> list[DamagedRow]:
    """The stored rows that could not be read since the server started. All other answers leave them out."""
    return server.damaged.list(caller, kind)


@router.delete("/{kind}/{row:path}", dependencies=[Depends(Allow(Action.DAMAGE_WRITE))], status_code=204)
async def delete_damaged(
    kind: RowKind,
    row: Annotated[str, Path(max_length=200, description="The row's `id`, as in the list.")],
    caller: CallerHere,
    server: ServerHere,
) -> None:
    """Delete a damaged row. Deleting a job deletes its logs, metrics and files as well."""
    await server.damaged.delete(caller, kind, row)
