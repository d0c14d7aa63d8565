"""Whether the server lives and is ready; open to everyone, for they tell nothing else."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from headway import __version__
from headway.server.api.common import ServerHere

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/version")
async def version() -> dict[str, str]:
    """The server's version and that of its API."""
    return {"version": __version__, "api": "v1"}


class Health(BaseModel):
    """That requests can be served, and how many stored rows could not be read since the server started."""

    status: str
    damaged_rows: int


@router.get("/health")
async def health(server: ServerHere) -> Health:
    """As `/readyz`, with counters."""
    await server.check_ready()
    return Health(status="ok", damaged_rows=server.damaged.count)


@router.get("/readyz")
async def readyz(server: ServerHere) -> dict[str, str]:
    """Requests can be served: the database answers. 503 otherwise."""
    await server.check_ready()
    return {"status": "ok"}
