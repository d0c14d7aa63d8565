"""A real database without a service, to which several servers may write."""

from __future__ import annotations

from headway.database.sqlite import SqliteDatabase


class SharedSqlite(SqliteDatabase):
    """A former server can still write here, as on databases that several servers share."""

    shared = True
