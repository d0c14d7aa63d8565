"""Whether the server is alive and ready. No token is needed, since these routes tell nothing else."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from headway import __version__
from headway.server.api.common import ServerHere

router = APIRouter(tags=["health"])


@router.get("/livez")
async def check_liveness() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/version")
async def get_version() -> dict[str, str]:
    """The server's version and that of its API."""
    return {"version": __version__, "api": "v1"}


class Health(BaseModel):
    """The server can serve requests. `damaged_rows`: stored rows that could not be read since the server started."""

    status: str
    damaged_rows: int


@router.get("/health")
async def get_health(server: ServerHere) -> Health:
    """Like `/readyz`, with counters."""
    await server.check_ready()
    return Health(status="ok", damaged_rows=server.damaged.count)


@router.get("/readyz")
async def check_readiness(server: ServerHere) -> dict[str, str]:
    """The server can serve requests: the database answers. Otherwise 503."""
    await server.check_ready()
    return {"status": "ok"}
