"""Opening Headway in a browser by a link that works once."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from headway.errors import NotAuthenticated
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere, address_of
from headway.server.api.cookies import set_cookie
from headway.server.api.routes import Allow, guarded_router
from headway.server.links import LINK_SECONDS
from headway.server.services.logins import Proof

router = guarded_router(tags=["links"])
front_router = APIRouter(tags=["links"])


class Link(BaseModel):
    """A path to open once in a browser, within `valid_seconds`."""

    path: str
    valid_seconds: float


@router.post("/links", dependencies=[Depends(Allow(Action.SESSIONS_WRITE))], status_code=201)
async def make_link(caller: CallerHere, server: ServerHere) -> Link:
    """Make a one-time link."""
    return Link(path=link_path(server.links.ask(caller)), valid_seconds=LINK_SECONDS)


@front_router.get("/enter", include_in_schema=False)
async def log_in(code: str, request: Request, server: ServerHere) -> RedirectResponse:
    """Open a link: the browser gets a session's cookie, and goes to the front page."""
    with server.audit.of_request(address_of(request.scope)):
        try:
            login = await server.logins.begin(Proof(code=code), address_of(request.scope))
        except NotAuthenticated as error:
            server.audit.not_authenticated(address_of(request.scope), request.url.path, error.message)
            raise
    answer = RedirectResponse("/", status_code=303)
    set_cookie(request, answer, login)
    return answer


def link_path(code: str) -> str:
    """The path that logs a browser in."""
    return f"/enter?code={code}"
