"""The routes of the API: each says who may use it and how much it takes, which holds before a body is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from headway.errors import InvalidInput, TooLarge
from headway.server.access import Action, Caller, admit, decisions, require_as_worker
from headway.server.api.bodies import is_json, read_json

MAXIMUM_BODY_BYTES = 1 << 20
"""Of a request whose route does not say another limit."""
_LARGE_BYTES = 64 << 10
"""Larger JSON is read in a thread: a million values take more than a second, in which workers would wait."""
_bearer = HTTPBearer(
    auto_error=False, description="A token of this installation; `headway up` writes them to its home."
)


class Allow:
    """A route's declaration: the action that its service asks for, and the largest body that it takes."""

    def __init__(self, action: Action, *, maximum_body_bytes: int | None = MAXIMUM_BODY_BYTES) -> None:
        """`maximum_body_bytes`: None where the route reads its body as a stream and bounds that itself."""
        self.action = action
        self.maximum_body_bytes = maximum_body_bytes

    async def __call__(self, _shown_in_docs: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        """A dependency, so that the API's document shows it; `GuardedRoute` does what it says."""

    def check(self, request: Request) -> None:
        """Refuse who can never do the action, and a worker that names another. Raises NotAllowed, NotFound."""
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            raise InvalidInput("The address has a NUL character (%00). Leave it out.")
        caller: Caller = request.scope["caller"]
        admit(caller, self.action)
        if "worker" in request.path_params:
            require_as_worker(caller, request.path_params["worker"])


class GuardedRoute(APIRoute):
    """A route with an `Allow`. First the caller is checked, then the body is read and bounded; JSON is read strictly.

    An answer is sent only if `require` allowed the action meanwhile: a service that forgot to ask is a defect.
    Raises RuntimeError for a route that does not say who may use it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI: https://fastapi.tiangolo.com/how-to/custom-request-and-route/."""
        handle = super().get_route_handler()
        allow = self.allow

        async def guarded(request: Request) -> Response:
            allow.check(request)
            request = Request(request.scope, request.receive)
            if allow.maximum_body_bytes is not None and request.method not in ("GET", "HEAD"):
                body = request._body = await _read_body(request, allow.maximum_body_bytes)
                if body and self.body_field is not None and is_json(request.headers.get("content-type", "")):
                    large = len(body) > _LARGE_BYTES
                    request._json = await asyncio.to_thread(read_json, body) if large else read_json(body)
            with decisions() as decided:
                response = await handle(request)
            if response.status_code < 400 and allow.action not in decided:
                raise RuntimeError(f"Route {self.path} answers, and no service asked whether it may: {allow.action}.")
            return response

        return guarded

    @property
    def allow(self) -> Allow:
        """Who may use the route, and how much it takes."""
        for one in self.dependant.dependencies:
            if isinstance(one.call, Allow):
                return one.call
        raise RuntimeError(f"Route {self.path} does not say who may use it.")


def guarded_router(**options: Any) -> APIRouter:
    """A router of guarded routes."""
    return APIRouter(route_class=GuardedRoute, **options)


async def _read_body(request: Request, maximum_bytes: int) -> bytes:
    """The whole body. Raises TooLarge as soon as it is too large, whatever its headers say, and ClientDisconnect."""
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > maximum_bytes:
        raise _too_large(request, maximum_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > maximum_bytes:
            raise _too_large(request, maximum_bytes)
    return bytes(body)


def _too_large(request: Request, maximum_bytes: int) -> TooLarge:
    path = request.url.path[:200]
    return TooLarge(f"The body of {request.method} {path} is larger than the {maximum_bytes:,} bytes allowed.")
