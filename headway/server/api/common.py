"""What routes share: the server, the caller, and the check that every route makes."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection, Request

from headway.core.attempt import LARGEST_NUMBER
from headway.errors import InvalidInput, NotAuthenticated, NotFound
from headway.server.access import Action, Caller, CallerKind, admit
from headway.server.server import Server

_bearer = HTTPBearer(
    auto_error=False, description="A token of this installation; `headway up` writes them to its home."
)


def get_server(connection: HTTPConnection) -> Server:
    """The server that this process runs."""
    server: Server = connection.app.state.server
    return server


ServerHere = Annotated[Server, Depends(get_server)]


COOKIE = "headway_token"
"""Holds a user's token in a browser that came by a one-time link."""


def authenticate(server: Server, connection: HTTPConnection) -> Caller:
    """Who asks. Raises NotAuthenticated, WorkerLost.

    The cookie is SameSite=Strict; that a changing request also comes from a page of ours is checked here.
    """
    authorization = connection.headers.get("authorization")
    cookie = connection.cookies.get(COOKIE)
    if authorization is None and cookie is not None:
        origin = connection.headers.get("origin")
        if origin is None or urlsplit(origin).netloc == connection.headers.get("host"):
            return server.callers.of(cookie)
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated(
            "This needs a token: send it as `Authorization: Bearer TOKEN`. It is in the file user.token of the home."
        )
    return server.callers.of(token.strip())


def get_caller(connection: HTTPConnection) -> Caller:
    """Who asks, as was settled before the request reached its route."""
    caller: Caller = connection.scope["caller"]
    return caller


CallerHere = Annotated[Caller, Depends(get_caller)]

AttemptNumber = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]

MAXIMUM_BODY_BYTES = 1 << 20
"""Of a request whose route does not say another limit."""


class Allow:
    """A route's dependency: names the action that the route's service asks for, and refuses who can never do it."""

    def __init__(self, action: Action, *, maximum_body_bytes: int | None = MAXIMUM_BODY_BYTES) -> None:
        """`maximum_body_bytes`: None where the route reads its body as a stream and bounds that itself."""
        self.action = action
        self.maximum_body_bytes = maximum_body_bytes

    async def __call__(
        self,
        request: Request,
        caller: CallerHere,
        _shown_in_docs: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> None:
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            raise InvalidInput("The address has a NUL character (%00). Leave it out.")
        admit(caller, self.action)
        _check_path(caller, request.path_params)


def _check_path(caller: Caller, path: dict[str, str]) -> None:
    """Hold a worker to what its token is bound to."""
    if caller.kind is CallerKind.WORKER and path.get("worker", caller.worker) != caller.worker:
        raise NotFound(f"Worker {path['worker']} does not exist.")
