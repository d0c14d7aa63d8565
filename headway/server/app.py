"""The HTTP application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from headway import __version__
from headway.client.job_file import job_file_schema
from headway.server.api import (
    artifacts,
    checkpoints,
    damaged,
    datasets,
    events,
    goodput,
    health,
    inquiries,
    jobs,
    links,
    problems,
    snapshots,
    streams,
    submission,
    tokens,
    trainers,
    workers,
)
from headway.server.api.admission import Admission
from headway.server.api.field_words import describe_fields
from headway.server.api.problems import document_problems
from headway.server.api.routes import GuardedRoute
from headway.server.server import Server

API_PREFIX = "/api/v1"
_DESCRIPTION = "Distributed model training."
API_MODULES = (
    submission,
    jobs,
    streams,
    events,
    inquiries,
    artifacts,
    checkpoints,
    goodput,
    workers,
    datasets,
    damaged,
    snapshots,
    trainers,
    tokens,
    links,
)


def create_app(server: Server) -> FastAPI:
    """The application of a server. The caller starts and stops the server."""
    app: FastAPI = FastAPIOffline(
        title="Headway", version=__version__, description=_DESCRIPTION, redirect_slashes=False
    )
    app.state.server = server
    problems.install(app)
    _include_routes(app)
    app.add_middleware(Admission, server=server)
    openapi = app.openapi
    app.openapi = lambda: _complete(openapi())  # type: ignore[method-assign]

    @app.get("/job.schema.json", include_in_schema=False)
    async def schema() -> dict[str, Any]:
        return job_file_schema()

    @app.get("/", include_in_schema=False)
    async def front() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app


def describe_api() -> dict[str, Any]:
    """The OpenAPI document, without a server."""
    app = FastAPI(title="Headway", version=__version__, description=_DESCRIPTION)
    _include_routes(app)
    return _complete(app.openapi())


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    """The API document with what FastAPI does not know: errors, and docstrings of fields."""
    describe_fields(document)
    return document_problems(document, API_PREFIX)


def _include_routes(app: FastAPI) -> None:
    app.include_router(health.router)
    app.include_router(links.front_router)
    guarded_routes()
    for module in API_MODULES:
        app.include_router(module.router, prefix=API_PREFIX)


def guarded_routes() -> list[GuardedRoute]:
    """The routes below `/api/v1`. Raises RuntimeError for a route without an `Allow`."""
    routes = []
    for route in (route for module in API_MODULES for route in module.router.routes if isinstance(route, APIRoute)):
        if not isinstance(route, GuardedRoute):
            raise RuntimeError(f"Route {route.path} does not say who may use it.")
        routes.append(route)
    return routes
