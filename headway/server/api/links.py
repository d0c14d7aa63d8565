"""Opening Headway in a browser: a link that works once sets a cookie."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from headway.server.access import Action
from headway.server.api.admission import COOKIE
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.links import LINK_SECONDS, SESSION_SECONDS

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
async def enter(ticket: str, request: Request, server: ServerHere) -> RedirectResponse:
    """Redeem a link: the browser gets the user's token as a cookie that scripts cannot read."""
    token = server.links.redeem(ticket)
    answer = RedirectResponse("/", status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, max_age=SESSION_SECONDS)
    return answer


def link_path(ticket: str) -> str:
    """The path that redeems a ticket."""
    return f"/enter?ticket={ticket}"
