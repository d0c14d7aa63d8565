"""Accounts and the audit, in MongoDB. The entries of a request are stored before what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from headway.core.account import AccountRecord, kind_of
from headway.core.audit import AuditEntry
from headway.core.damaged import RowKind
from headway.database.base import AuditQuery
from headway.database.mongodb_collections import MongodbCollections
from headway.database.mongodb_connections import translated
from headway.database.mongodb_documents import Document, audit_document

_Account = TypeVar("_Account", bound=AccountRecord)


class MongodbAccounts(MongodbCollections):
    """The part of the contract that is about accounts and the audit."""

    async def accounts(self, kind: type[_Account]) -> list[_Account]:
        read = self._reader(RowKind.ACCOUNT, kind)
        return await self._find_readable("accounts", {"kind": kind_of(kind)}, [("_id", ASCENDING)], 0, read)

    async def put_account(self, record: AccountRecord) -> bool:
        values = {"version": record.version, "document": record.model_dump_json()}
        async with translated():
            accounts = await self._connections.changing("accounts")
            if record.version > 1:
                changed = await accounts.update_one(_stored(record, record.version - 1), {"$set": values})
                return bool(changed.matched_count)
            try:
                await accounts.insert_one({"_id": _key(record), "kind": kind_of(type(record)), **values})
            except DuplicateKeyError:
                return False
            return True

    async def delete_account(self, record: AccountRecord) -> bool:
        async with translated():
            accounts = await self._connections.changing("accounts")
            return bool((await accounts.delete_one(_stored(record, record.version))).deleted_count)

    async def insert_audit(self, entries: Sequence[AuditEntry]) -> None:
        async with translated():
            await self._connections.insert_missing("audit", [audit_document(entry) for entry in entries])

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        asked = {"project": query.project, "user": query.user}
        where: Document = {name: value for name, value in asked.items() if value is not None}
        if query.before is not None:
            where["_id"] = {"$lt": query.before}
        read = self._reader(RowKind.AUDIT, AuditEntry)
        return await self._find_readable("audit", where, [("_id", DESCENDING)], query.limit, read)


def _key(record: AccountRecord) -> str:
    return f"{kind_of(type(record))}/{record.id}"


def _stored(record: AccountRecord, version: int) -> Document:
    return {"_id": _key(record), "version": version}
