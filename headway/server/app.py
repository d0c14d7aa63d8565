"""The HTTP application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from headway import __version__
from headway.client.job_file import job_file_schema
from headway.server.api import (
    artifacts,
    audit,
    checkpoints,
    damaged,
    datasets,
    events,
    goodput,
    health,
    inquiries,
    jobs,
    links,
    live,
    page,
    problems,
    projects,
    sessions,
    snapshots,
    streams,
    submission,
    tokens,
    trainers,
    users,
    workers,
)
from headway.server.api.admission import USERS_DOCUMENT, Admission
from headway.server.api.document import API_PREFIX, DESCRIPTION, complete, for_users, operation_id
from headway.server.api.live_frames import live_channel_schema
from headway.server.api.routes import GuardedRoute
from headway.server.server import Server

_OPTIONS: dict[str, Any] = {
    "title": "Headway",
    "version": __version__,
    "description": DESCRIPTION,
    "generate_unique_id_function": operation_id,
}
API_MODULES = (
    submission,
    jobs,
    streams,
    events,
    live,
    inquiries,
    artifacts,
    checkpoints,
    goodput,
    workers,
    datasets,
    damaged,
    snapshots,
    trainers,
    projects,
    users,
    tokens,
    audit,
    links,
    sessions,
)


def create_app(server: Server) -> FastAPI:
    """The application of a server. The caller starts and stops the server."""
    app: FastAPI = FastAPIOffline(
        **_OPTIONS, redirect_slashes=False, swagger_ui_parameters={"url": USERS_DOCUMENT.removeprefix("/")}
    )
    app.state.server = server
    problems.install(app)
    _include_routes(app)
    app.add_middleware(Admission, server=server)
    openapi = app.openapi
    app.openapi = lambda: app.openapi_schema or complete(openapi(), guarded_routes())  # type: ignore[method-assign]

    @app.get(USERS_DOCUMENT, include_in_schema=False)
    async def users_document() -> dict[str, Any]:
        return for_users(app.openapi())

    @app.get("/job.schema.json", include_in_schema=False)
    async def schema() -> dict[str, Any]:
        return job_file_schema()

    @app.get("/live.schema.json", include_in_schema=False)
    async def live_schema() -> dict[str, Any]:
        return live_channel_schema()

    app.include_router(page.router)
    return app


def describe_api() -> dict[str, Any]:
    """The OpenAPI document, without a server."""
    app = FastAPI(**_OPTIONS)
    _include_routes(app)
    return complete(app.openapi(), guarded_routes())


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
