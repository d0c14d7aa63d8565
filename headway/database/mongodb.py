"""MongoDB, by PyMongo: `mongodb://user:password@host/database?tls=true&tlsCAFile=/path/ca.pem`.

One document changes at a time. So sessions, transactions, partial indexes, update pipelines and retryable writes are
not needed. Amazon DocumentDB works too, with `retryWrites=false` in the URL.
"""

from __future__ import annotations

import time

from pymongo.errors import ConfigurationError, DuplicateKeyError, InvalidURI

from headway.core.damaged import DamagedRow, RowKind
from headway.core.installation import Installation, Leadership
from headway.core.problem import Problem, clock_problems
from headway.database.mongodb_accounts import MongodbAccounts
from headway.database.mongodb_connections import MongodbConnections, translated
from headway.database.mongodb_datasets import MongodbDatasets
from headway.database.mongodb_documents import INDEXES, id_of
from headway.database.mongodb_jobs import OF_A_JOB, MongodbJobs
from headway.database.mongodb_records import MongodbRecords
from headway.database.mongodb_streams import MongodbStreams
from headway.errors import SettingInvalid, Unavailable
from headway.redaction import redacted

SCHEMA = 3
"""The schema's version. Version 2: datasets have a project, and objects have owners. Version 3: accounts and the audit,
which older servers would not check."""
_COLLECTIONS = {
    RowKind.JOB: "jobs",
    RowKind.ATTEMPT: "attempts",
    RowKind.CHECKPOINT: "checkpoint_parts",
    RowKind.EVENT: "events",
    RowKind.WORKER: "workers",
    RowKind.DATASET: "datasets",
    RowKind.ACCOUNT: "accounts",
    RowKind.AUDIT: "audit",
}


class MongodbDatabase(MongodbJobs, MongodbRecords, MongodbDatasets, MongodbAccounts):
    """Several servers may share it. A document names the leader."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections = MongodbConnections(url)
        self.streams = MongodbStreams(self._connections, self.damage)

    async def open(self) -> None:
        try:
            self._connections.open()
            async with translated():
                found = await self._connections.collection("installation").find_one({"_id": "schema"})
                if found is not None and found["version"] > SCHEMA:
                    raise SettingInvalid(
                        f"This MongoDB has schema {found['version']}, this version of Headway knows {SCHEMA}. "
                        "Start the newer version, or give another HEADWAY_DATABASE_URL."
                    )
                for name, indexes in INDEXES.items():
                    await self._connections.collection(name).create_indexes(indexes)
                if found is not None and found["version"] < 2:
                    await self._give_projects()
                await self._connections.upsert("installation", "schema", {"version": SCHEMA})
        except SettingInvalid:
            await self.close()
            raise
        except (Unavailable, ConfigurationError, InvalidURI, ValueError, OSError) as error:
            await self.close()
            raise SettingInvalid(f"HEADWAY_DATABASE_URL is {redacted(self._url)}: {error}") from error

    async def close(self) -> None:
        await self._connections.close()

    async def check(self) -> None:
        async with translated():
            await self._connections.database().command("ping")

    async def problems(self) -> list[Problem]:
        try:
            self._connections.open()
        except (ConfigurationError, InvalidURI, ValueError, OSError) as error:
            raise SettingInvalid(f"{error}") from error
        async with translated():
            hello = await self._connections.database().command("isMaster")  # as "hello", and older servers know it
            found = []
            if not hello.get("ismaster", True):
                found.append(Problem("This MongoDB takes no writes.", "Name the replica set, or its primary."))
            await self._connections.upsert("installation", "doctor", {"version": 1})
            theirs = hello["localTime"].timestamp() if "localTime" in hello else time.time()
        return [*found, *clock_problems("MongoDB's", theirs, time.time())]

    async def installation(self, proposed: Installation) -> Installation:
        async with translated():
            await self._connections.insert_missing(
                "installation", [{"_id": "installation", "document": proposed.model_dump_json()}]
            )
            return await self.installation_if_any() or proposed

    async def installation_if_any(self) -> Installation | None:
        async with translated():
            stored = await self._connections.collection("installation").find_one({"_id": "installation"})
            return None if stored is None else Installation.model_validate_json(stored["document"])

    async def leadership(self) -> Leadership:
        async with translated():
            stored = await self._connections.collection("installation").find_one({"_id": "leadership"})
            return Leadership() if stored is None else Leadership.model_validate_json(stored["document"])

    async def put_leadership(self, new: Leadership, known: Leadership) -> bool:
        collection, document = self._connections.collection("installation"), {"document": new.model_dump_json()}
        async with translated():
            if known.term:
                expected = {"_id": "leadership", "document": known.model_dump_json()}
                return bool((await collection.update_one(expected, {"$set": document})).matched_count)
            try:
                await collection.insert_one({"_id": "leadership", **document})
            except DuplicateKeyError:
                return False
            return True

    async def delete_row(self, row: DamagedRow) -> None:
        async with translated():
            await (await self._connections.changing(_COLLECTIONS[row.kind])).delete_one({"_id": id_of(row.id)})
            if row.kind is RowKind.JOB:
                for name in OF_A_JOB:
                    await self._connections.collection(name).delete_many({"job": id_of(row.id)})
        self.damage.forget(row.kind, row.id)
