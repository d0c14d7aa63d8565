"""Sessions of browsers: log in, see who one is, log out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.cookies import delete_cookie, set_cookie
from headway.server.api.routes import Allow, guarded_router
from headway.server.api.users import Account, account_of

router = guarded_router(prefix="/session", tags=["session"])
Secret = Annotated[str, Field(min_length=1, max_length=1_000)]


class NewSession(BaseModel):
    """What to log in with: the `code` of a one-time link, or the text of a `token`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    code: Secret | None = Field(None, repr=False)
    token: Secret | None = Field(None, repr=False)

    @model_validator(mode="after")
    def _has_one(self) -> NewSession:
        if (self.code is None) is (self.token is None):
            raise ValueError("give a code or a token")
        return self


@router.post("", dependencies=[Depends(Allow(Action.ACCOUNT_ENTER))], status_code=201)
async def log_in(new: NewSession, request: Request, response: Response, server: ServerHere) -> Account:
    """Log a browser in. The answer sets a cookie that scripts cannot read; no other token is needed then.

    A session that a token opened allows what the token allows, and ends with it. Others end after 30 days.
    """
    if new.code is not None:
        login = await server.logins.by_code(new.code)
    else:
        login = await server.logins.by_token(new.token or "")
    set_cookie(request, response, login)
    return account_of(login.caller, server)


@router.get("", dependencies=[Depends(Allow(Action.ACCOUNT_READ))])
async def get_session(caller: CallerHere, server: ServerHere) -> Account:
    """Who is logged in, and what that allows."""
    return account_of(caller, server)


@router.delete("", dependencies=[Depends(Allow(Action.ACCOUNT_LEAVE))], status_code=204)
async def log_out(request: Request, response: Response, caller: CallerHere, server: ServerHere) -> None:
    """Log out: the session ends at once, for open streams, too. With a token in its place, the token is revoked."""
    await server.credentials.leave(caller)
    delete_cookie(request, response)
