"""What all routes use: the server and the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path
from starlette.requests import HTTPConnection
from starlette.types import Scope

from headway.core.attempt import LARGEST_NUMBER
from headway.server.access import Caller
from headway.server.server import Server


def get_server(connection: HTTPConnection) -> Server:
    """The server that this process runs."""
    server: Server = connection.app.state.server
    return server


ServerHere = Annotated[Server, Depends(get_server)]


def address_of(scope: Scope) -> str:
    """Where a request comes from; empty if that is not known."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def get_caller(connection: HTTPConnection) -> Caller:
    """Who sends the request, as the admission found out."""
    caller: Caller = connection.scope["caller"]
    return caller


CallerHere = Annotated[Caller, Depends(get_caller)]

AttemptNumber = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]
