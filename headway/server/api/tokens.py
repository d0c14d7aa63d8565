"""Tokens: listed without their text, made, and revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

from headway.core.account import Scope
from headway.core.name import Name
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.credentials import Credential

router = guarded_router(prefix="/tokens", tags=["tokens"])
WRITE = [Depends(Allow(Action.TOKENS_WRITE))]
Days = Annotated[float | None, Field(gt=0, le=36_500)]


class NewToken(BaseModel):
    """A personal token to make. `user`: whose; by default your own. `days`: null if it does not expire.

    Every scope allows to read; `write` to change what a project has, `fleet` to drain workers. `project`: the only one
    that it allows.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name
    user: Name | None = None
    scopes: tuple[Scope, ...] = (Scope.READ, Scope.WRITE)
    project: Name | None = None
    days: Days = 90.0


class NewJoinToken(BaseModel):
    """A token to make with which machines join as workers, at most `maximum_uses` of them; null: as many as come."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    days: Days = 7.0
    maximum_uses: Annotated[int | None, Field(ge=1, le=1_000_000)] = None


class MadeToken(BaseModel):
    """A new token. Its `text` is shown this once, and stored nowhere."""

    id: str
    name: str
    text: str
    expires_at: float | None


@router.get("", dependencies=[Depends(Allow(Action.TOKENS_READ))])
async def list_tokens(caller: CallerHere, server: ServerHere) -> list[Credential]:
    """The valid tokens: your own. Administrators see all, with those of the server's home, of workers and of ranks.

    A token's kind and scopes say what it allows. Sessions of browsers are not listed.
    """
    return server.credentials.list(caller)


@router.post("", dependencies=WRITE, status_code=201)
async def add_token(new: NewToken, caller: CallerHere, server: ServerHere) -> MadeToken:
    """Make a personal token. It never allows more than its user may do, and no administration."""
    token, text = await server.access_tokens.add(
        caller, name=new.name, user=new.user, scopes=new.scopes, project=new.project, days=new.days
    )
    return MadeToken(id=token.id, name=token.name, text=text, expires_at=token.expires_at)


@router.post("/join", dependencies=[Depends(Allow(Action.FLEET_WRITE))], status_code=201)
async def add_join_token(new: NewJoinToken, caller: CallerHere, server: ServerHere) -> MadeToken:
    """Make a token with which machines join as workers. Administrators only."""
    token, text = await server.access_tokens.add_for_joining(
        caller, name=new.name, days=new.days, maximum_uses=new.maximum_uses
    )
    return MadeToken(id=token.id, name=token.name, text=text, expires_at=token.expires_at)


@router.delete("/{token}", dependencies=WRITE, status_code=204)
async def revoke_token(token: str, caller: CallerHere, server: ServerHere) -> None:
    """Revoke a token, by what `revoke` says of it in the list. It holds at once, for open streams, too.

    A token of the server's home is replaced there by a new one.
    """
    await server.credentials.revoke(caller, token)
