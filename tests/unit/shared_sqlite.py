"""A real database without any service, on which several servers may write."""

from __future__ import annotations

from headway.database.sqlite import SqliteDatabase


class SharedSqlite(SqliteDatabase):
    """Nothing keeps a former server from writing here, as on the databases that several servers share."""

    shared = True
