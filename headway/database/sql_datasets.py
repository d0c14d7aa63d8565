"""Datasets by project, and the owners of objects, in SQL. Shared datasets have the project ''."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Row, delete, select

from headway.core.damaged import RowKind
from headway.core.dataset import OwnedDataset, RegisteredDataset
from headway.database import tables
from headway.database.damage import row_key
from headway.database.sql_connections import SqlConnections


class SqlDatasets(SqlConnections):
    """Implements the contract for datasets and owners of objects."""

    async def put_dataset(self, owned: OwnedDataset) -> None:
        key = {"project": owned.project or "", "name": owned.dataset.name}
        document = {"document": owned.registered.model_dump_json()}
        async with self._main(write=True) as connection:
            upsert = self._insert(tables.datasets).values(**key, **document)
            await connection.execute(upsert.on_conflict_do_update(index_elements=list(key), set_=document))
        self.damage.forget(RowKind.DATASET, row_key(*key.values()))

    async def delete_dataset(self, project: str | None, name: str) -> None:
        table = tables.datasets
        async with self._main(write=True) as connection:
            await connection.execute(delete(table).where((table.c.project == (project or "")) & (table.c.name == name)))

    async def datasets(self) -> list[OwnedDataset]:
        table = tables.datasets
        async with self._main(write=False) as connection:
            rows = (await connection.execute(select(table))).all()
        # Databases sort text differently, and SQLite may contain keys that are not text.
        rows = sorted(rows, key=lambda row: (row_key(row.project), row_key(row.name)))
        return [one for row in rows if (one := self._owned_dataset(row)) is not None]

    def _owned_dataset(self, row: Row[Any]) -> OwnedDataset | None:
        return self.damage.read(
            RowKind.DATASET,
            row_key(row.project, row.name),
            "",
            lambda: OwnedDataset.of(row.project or None, RegisteredDataset.model_validate_json(row.document)),
        )

    async def add_owner(self, project: str, object_id: str) -> None:
        async with self._main(write=True) as connection:
            insert = self._insert(tables.object_owners).values(project=project, object_id=object_id)
            await connection.execute(insert.on_conflict_do_nothing())

    async def owned(self, project: str, object_ids: Collection[str]) -> set[str]:
        query = select(tables.object_owners.c.object_id).where(_owned(project, object_ids))
        async with self._main(write=False) as connection:
            return {row.object_id for row in await connection.execute(query)}

    async def owners(self, prefix: str) -> set[tuple[str, str]]:
        table = tables.object_owners
        query = select(table).where(table.c.object_id.startswith(prefix, autoescape=True))
        async with self._main(write=False) as connection:
            return _text_pairs(await connection.execute(query))

    async def remove_owner(self, project: str, object_ids: Collection[str]) -> None:
        async with self._main(write=True) as connection:
            await connection.execute(delete(tables.object_owners).where(_owned(project, object_ids)))

    async def named_snapshots(self) -> set[tuple[str, str]]:
        jobs = tables.jobs
        query = select(jobs.c.project, jobs.c.snapshot).where(jobs.c.deleted.is_(False) & jobs.c.snapshot.is_not(None))
        async with self._main(write=False) as connection:
            return _text_pairs(await connection.execute(query.distinct()))


def _owned(project: str, object_ids: Collection[str]) -> Any:
    table = tables.object_owners
    return (table.c.project == project) & table.c.object_id.in_(object_ids)


def _text_pairs(rows: Iterable[Any]) -> set[tuple[str, str]]:
    """Leaves out values that are not text: no project or object has such a name."""
    return {(one, other) for one, other in rows if isinstance(one, str) and isinstance(other, str)}
