"""Shared by all parts of the MongoDB database: the connections, and reading documents that may be damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from headway.core.damaged import RowKind
from headway.database.base import Database
from headway.database.mongodb_connections import MongodbConnections, translated
from headway.database.mongodb_documents import Document, key_of

_Value = TypeVar("_Value")
_Record = TypeVar("_Record", bound=BaseModel)


class MongodbCollections(Database):
    """Reads collections and leaves out documents that cannot be read."""

    _connections: MongodbConnections

    async def _find_readable(
        self, collection: str, where: Document, order: Any, limit: int, read: Callable[[Document], _Value | None]
    ) -> list[_Value]:
        """Up to `limit` readable documents; 0: all. It reads more to replace damaged ones, so that a page is full."""
        found: list[_Value] = []
        async with (
            translated(),
            self._connections.collection(collection).find(where, sort=order, batch_size=limit) as cursor,
        ):
            async for document in cursor:
                one = read(document)
                if one is not None:
                    found.append(one)
                    if len(found) == limit:
                        break
        return found

    def _reader(self, kind: RowKind, model: type[_Record]) -> Callable[[Document], _Record | None]:
        """Reads the records of a collection."""
        return lambda one: self.damage.read(kind, key_of(one), "", lambda: model.model_validate_json(one["document"]))
