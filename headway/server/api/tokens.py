"""The tokens that hold, without their text."""

from __future__ import annotations

from fastapi import Depends

from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.credentials import Credential

router = guarded_router(prefix="/tokens", tags=["tokens"])


@router.get("", dependencies=[Depends(Allow(Action.TOKENS_READ))])
async def list_tokens(caller: CallerHere, server: ServerHere) -> list[Credential]:
    """The tokens that hold: those in the server's home, of registered workers, of ranks at work, and old ones in use.

    What a token allows is said by its kind. One that a browser got by a one-time link is not listed.
    """
    return server.credentials.list(caller)
