"""The connections to a MongoDB, and what is done to its documents in more than one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
from headway.database.mongodb_documents import Document
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
"""The connections for what users read."""
_DUPLICATE = 11000


class MongodbConnections:
    """Two pools of connections: one for what users read, one for all else."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncMongoClient[Document] | None = None
        self._readers: AsyncMongoClient[Document] | None = None

    def open(self) -> None:
        """Make the pools; they connect when they are used. Raises PyMongo's errors for a URL that is wrong."""
        if self._client is None:
            self._client = AsyncMongoClient(self._url, **_absent(self._url, _DEFAULTS))
            self._readers = AsyncMongoClient(self._url, **{**_absent(self._url, _DEFAULTS), **_OF_USERS})

    async def close(self) -> None:
        """Close all connections."""
        clients, self._client, self._readers = (self._client, self._readers), None, None
        for client in clients:
            if client is not None:
                await client.close()

    def database(self) -> AsyncDatabase[Document]:
        """The database that the URL names, or `headway`. Raises Unavailable before `open`."""
        client = self._readers if reading.get() else self._client
        if client is None:
            raise Unavailable("MongoDB is not connected.")
        return client.get_default_database("headway")

    def collection(self, name: str) -> Any:
        """A collection, whose writes the majority of the replica set has."""
        return self.database()[name]

    async def upsert(self, collection: str, key: str, document: Document) -> None:
        """Set these fields of a document; it is made if it is not there."""
        try:
            await self.collection(collection).update_one({"_id": key}, {"$set": document}, upsert=True)
        except DuplicateKeyError:  # two inserted it at once; now it is there
            await self.collection(collection).update_one({"_id": key}, {"$set": document})

    async def insert_missing(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert what is not there yet, by `_id`."""
        if not documents:
            return
        try:
            await self.collection(collection).insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                raise


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Library errors become ours, cause kept."""
    try:
        yield
    except (DuplicateKeyError, ConfigurationError):
        raise
    except WaitQueueTimeoutError as error:
        raise Overloaded(OVERLOADED) from error
    except (PyMongoError, OSError) as error:
        # PyMongo goes on with its timeouts and all it knows of the servers.
        said = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        raise Unavailable(f"MongoDB does not answer: {said}") from error


def _absent(url: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults that the URL does not set itself."""
    said = url.partition("?")[2].lower()
    return {name: value for name, value in defaults.items() if f"{name.lower()}=" not in said}
