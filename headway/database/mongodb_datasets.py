"""Datasets by project, and the owners of objects, in MongoDB. Shared datasets have the project ''."""

from __future__ import annotations

import re
from collections.abc import Collection

from pymongo import ASCENDING

from headway.core.damaged import RowKind
from headway.core.dataset import OwnedDataset, RegisteredDataset, project_of_earlier_dataset
from headway.database.mongodb_collections import MongodbCollections
from headway.database.mongodb_connections import translated
from headway.database.mongodb_documents import Document, key_of

_TEXT = {"$type": "string"}


class MongodbDatasets(MongodbCollections):
    """Implements the contract for datasets and owners of objects."""

    async def _give_projects(self) -> None:
        """Migrate documents that were stored before projects existed. Repeating it changes nothing."""
        async for old in self._connections.collection("datasets").find({"project": {"$exists": False}}):
            name = old.pop("_id")
            project = project_of_earlier_dataset(name) or ""
            await self._connections.upsert("datasets", f"{project}/{name}", {**old, "project": project, "name": name})
            await self._connections.collection("datasets").delete_one({"_id": name})
        for project, sha256 in await self.named_snapshots():
            await self.add_owner(project, f"snapshots/{sha256[:2]}/{sha256}")

    async def put_dataset(self, owned: OwnedDataset) -> None:
        place = {"project": owned.project or "", "name": owned.dataset.name}
        key = "/".join(place.values())
        fields = {**place, "document": owned.registered.model_dump_json()}
        async with translated():
            await self._connections.upsert("datasets", key, fields)
        self.damage.forget(RowKind.DATASET, key)

    async def delete_dataset(self, project: str | None, name: str) -> None:
        async with translated():
            await (await self._connections.changing("datasets")).delete_one({"_id": f"{project or ''}/{name}"})

    async def datasets(self) -> list[OwnedDataset]:
        order = [("project", ASCENDING), ("name", ASCENDING)]
        async with translated():
            found = [one async for one in self._connections.collection("datasets").find({}, sort=order)]
        return [one for document in found if (one := self._owned_dataset(document)) is not None]

    def _owned_dataset(self, document: Document) -> OwnedDataset | None:
        def parse() -> OwnedDataset:
            registered = RegisteredDataset.model_validate_json(document["document"])
            # A server of the previous version that still leads stores documents without a project.
            project = document.get("project", project_of_earlier_dataset(registered.name))
            return OwnedDataset.of(project or None, registered)

        return self.damage.read(RowKind.DATASET, key_of(document), "", parse)

    async def add_owner(self, project: str, object_id: str) -> None:
        async with translated():
            fields = {"project": project, "object_id": object_id}
            await self._connections.upsert("object_owners", f"{project}/{object_id}", fields)

    async def owned(self, project: str, object_ids: Collection[str]) -> set[str]:
        async with translated():
            found = self._connections.collection("object_owners").find(_owned(project, object_ids))
            return {one["object_id"] async for one in found}

    async def owners(self, prefix: str) -> set[tuple[str, str]]:
        where = {"object_id": {"$regex": f"^{re.escape(prefix)}"}, "project": _TEXT}
        async with translated():
            found = self._connections.collection("object_owners").find(where)
            return {(one["project"], one["object_id"]) async for one in found}

    async def remove_owner(self, project: str, object_ids: Collection[str]) -> None:
        async with translated():
            await (await self._connections.changing("object_owners")).delete_many(_owned(project, object_ids))

    async def named_snapshots(self) -> set[tuple[str, str]]:
        named = {"$match": {"deleted": False, "snapshot": _TEXT, "project": _TEXT}}
        distinct = {"$group": {"_id": {"project": "$project", "snapshot": "$snapshot"}}}
        async with translated():
            found = await self._connections.collection("jobs").aggregate([named, distinct])
            return {(one["_id"]["project"], one["_id"]["snapshot"]) async for one in found}


def _owned(project: str, object_ids: Collection[str]) -> Document:
    return {"_id": {"$in": [f"{project}/{object_id}" for object_id in object_ids]}}
