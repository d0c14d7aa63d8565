"""The connections to a MongoDB, and shared operations on its documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    PyMongoError,
    WaitQueueTimeoutError,
)

from headway.database.base import OVERLOADED, READ_PATIENCE_SECONDS, reading
from headway.database.connecting import Connecting
from headway.database.mongodb_documents import Document, audit_document
from headway.database.mongodb_pool import FinishingPool, close
from headway.database.request_audit import entries_stored, waiting_entries
from headway.errors import Overloaded, Unavailable

_DEFAULTS: dict[str, Any] = {
    "w": "majority",
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 15_000,
    "retryWrites": False,
    "appname": "headway",
}
_OF_USERS: dict[str, Any] = {"maxPoolSize": 8, "waitQueueTimeoutMS": int(READ_PATIENCE_SECONDS * 1000)}
"""The connections for users' reads."""
_DUPLICATE = 11000


class MongodbConnections:
    """Two pools of connections: one for users' reads, one for everything else."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncMongoClient[Document] | None = None
        self._readers: AsyncMongoClient[Document] | None = None
        self._connecting = Connecting(close)

    def open(self) -> None:
        """Create the pools. They connect when they are used. Raises PyMongo's errors for a wrong URL."""
        if self._client is None:
            options = {**_absent(self._url, _DEFAULTS), "_pool_class": partial(FinishingPool, self._connecting)}
            self._client = AsyncMongoClient(self._url, **options)
            self._readers = AsyncMongoClient(self._url, **{**options, **_OF_USERS})

    async def close(self) -> None:
        """Close all connections."""
        clients, self._client, self._readers = (self._client, self._readers), None, None
        for client in clients:
            if client is not None:
                await client.close()
        await self._connecting.end()

    def database(self) -> AsyncDatabase[Document]:
        """The database that the URL names, or `headway`. Raises Unavailable before `open`."""
        client = self._readers if reading.get() else self._client
        if client is None:
            raise Unavailable("MongoDB is not connected.")
        return client.get_default_database("headway")

    def collection(self, name: str) -> Any:
        """A collection with majority writes."""
        return self.database()[name]

    async def changing(self, name: str) -> Any:
        """A collection that a request is about to change. The request's audit entries are stored first."""
        entries = waiting_entries()
        if entries:
            await self._insert("audit", [audit_document(entry) for entry in entries])
            entries_stored(entries)
        return self.collection(name)

    async def upsert(self, collection: str, key: str, document: Document) -> None:
        """Set fields of a document. Create it if it does not exist."""
        await self.changing(collection)
        try:
            await self.collection(collection).update_one({"_id": key}, {"$set": document}, upsert=True)
        except DuplicateKeyError:  # another writer inserted it at the same time
            await self.collection(collection).update_one({"_id": key}, {"$set": document})

    async def insert_missing(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert documents that do not exist yet, by `_id`."""
        await self.changing(collection)
        await self._insert(collection, documents)

    async def _insert(self, collection: str, documents: Sequence[Document]) -> None:
        if not documents:
            return
        try:
            await self.collection(collection).insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                raise


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Converts the library's errors to Headway's and keeps the cause."""
    try:
        yield
    except (DuplicateKeyError, ConfigurationError):
        raise
    except WaitQueueTimeoutError as error:
        raise Overloaded(OVERLOADED) from error
    except (PyMongoError, OSError) as error:
        # PyMongo appends its timeouts and the servers' descriptions.
        said = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        raise Unavailable(f"MongoDB does not answer: {said}") from error


def _absent(url: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults for options that the URL does not set."""
    said = url.partition("?")[2].lower()
    return {name: value for name, value in defaults.items() if f"{name.lower()}=" not in said}
