"""The valid tokens, without their text."""

from __future__ import annotations

from fastapi import Depends

from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.credentials import Credential

router = guarded_router(prefix="/tokens", tags=["tokens"])


@router.get("", dependencies=[Depends(Allow(Action.TOKENS_READ))])
async def list_tokens(caller: CallerHere, server: ServerHere) -> list[Credential]:
    """The valid tokens: those in the server's home, of registered workers, of running ranks, and old ones in use.

    A token's kind says what it allows. Tokens that browsers got from one-time links are not listed.
    """
    return server.credentials.list(caller)
