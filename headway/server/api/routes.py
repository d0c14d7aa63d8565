"""The routes of the API. Each declares who may use it and its largest body; both are checked before a body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from headway.errors import InvalidInput, NotAllowed, NotAuthenticated, TooManyRequests
from headway.server.access import Action, Caller, InstallationSubject, admit
from headway.server.api.bodies import MAXIMUM_BODY_BYTES, is_json, parse_json, read_body
from headway.server.api.common import address_of
from headway.server.server import Server

_bearer = HTTPBearer(
    auto_error=False, description="A token of this installation. `headway up` writes tokens to its home."
)


class Allow:
    """A route's declaration: the action that its service checks, and the largest body that it accepts."""

    def __init__(self, action: Action, *, maximum_body_bytes: int | None = MAXIMUM_BODY_BYTES) -> None:
        """`maximum_body_bytes`: None if the route reads its body as a stream and bounds that itself."""
        self.action = action
        self.maximum_body_bytes = maximum_body_bytes

    async def __call__(self, _shown_in_docs: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        """Nothing: a dependency only so that the API document shows it. `GuardedRoute` does the checks."""

    def check(self, request: Request) -> None:
        """Refuse callers that can never do the action. Raises InvalidInput, NotAllowed."""
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            raise InvalidInput("The address has a NUL character (%00). Leave it out.")
        caller: Caller = request.scope["caller"]
        admit(caller, self.action)


class GuardedRoute(APIRoute):
    """A route with an `Allow`. It checks the caller first, then reads the body up to its limit. JSON is parsed
    strictly.

    An answer is sent only if `require` allowed the action meanwhile: a service that did not call it is a defect. Raises
    RuntimeError for a route without an `Allow`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI: https://fastapi.tiangolo.com/how-to/custom-request-and-route/."""
        handle = super().get_route_handler()
        allow = self.allow

        async def guarded(request: Request) -> Response:
            server: Server = request.app.state.server
            with server.audit.of_request(address_of(request.scope)) as decided:
                try:
                    allow.check(request)
                except NotAllowed:
                    decided.note(request.scope["caller"], allow.action, InstallationSubject(), allowed=False)
                    raise
                request = Request(request.scope, request.receive)
                if allow.maximum_body_bytes is not None and request.method not in ("GET", "HEAD"):
                    body = request._body = await read_body(request, allow.maximum_body_bytes)
                    if body and self.body_field is not None and is_json(request.headers.get("content-type", "")):
                        request._json = await parse_json(body)
                try:
                    response = await handle(request)
                except (NotAuthenticated, TooManyRequests) as error:
                    server.audit.not_authenticated(address_of(request.scope), request.url.path, error.message)
                    raise
                if response.status_code < 400 and allow.action not in decided.allowed:
                    raise RuntimeError(
                        f"Route {self.path} answers, but no service called `require` for {allow.action}."
                    )
                await server.audit.store()
            return response

        return guarded

    @property
    def allow(self) -> Allow:
        """Who may use the route, and its largest body."""
        for one in self.dependant.dependencies:
            if isinstance(one.call, Allow):
                return one.call
        raise RuntimeError(f"Route {self.path} does not say who may use it.")


def guarded_router(**options: Any) -> APIRouter:
    """A router whose routes are guarded."""
    return APIRouter(route_class=GuardedRoute, **options)
