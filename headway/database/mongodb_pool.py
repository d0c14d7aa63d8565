"""PyMongo's connection pool, which finishes connecting when it is cancelled."""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.pool import AsyncConnection, Pool

from headway.database.connecting import Connecting


class FinishingPool(Pool):
    """Closing a client of PyMongo cancels its monitors, also while they connect, and leaves their sockets open."""

    def __init__(self, connecting: Connecting[AsyncConnection], *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._connecting = connecting

    async def connect(self, handler: Any = None) -> AsyncConnection:
        """As PyMongo's."""
        return await self._connecting.finish(super().connect(handler))


async def close(connection: AsyncConnection) -> None:
    """Close a connection that was never used."""
    await connection.close_conn(None)
