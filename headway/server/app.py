"""The HTTP application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from headway import __version__
from headway.server.api import artifacts, datasets, health, jobs, problems, streams, trainers, workers
from headway.server.api.common import Allow
from headway.server.server import Server

OPEN_PATHS = frozenset({"/", "/livez", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
"""What answers without a token: health, and the documentation of the API."""


def create_app(server: Server) -> FastAPI:
    """The application of one server; starting and stopping the application starts and stops the server."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with server.started():
            yield

    app = FastAPIOffline(
        title="Headway", version=__version__, lifespan=lifespan, description="Distributed model training."
    )
    app.state.server = server
    problems.install(app)
    app.include_router(health.router)
    for module in (jobs, streams, artifacts, workers, datasets, trainers):
        app.include_router(module.router, prefix="/api/v1")

    @app.get("/", include_in_schema=False)
    async def front() -> RedirectResponse:
        return RedirectResponse("/docs")

    _deny_by_default(app)
    return app


def _deny_by_default(app: FastAPI) -> None:
    """Refuse to start with a route that forgot to say who may use it."""
    for route in app.routes:
        if isinstance(route, APIRoute) and route.path not in OPEN_PATHS:
            guards = [one.call for one in route.dependant.dependencies if isinstance(one.call, Allow)]
            if not guards:
                raise RuntimeError(f"Route {route.path} does not say who may use it.")
