"""Alembic's entry: runs the revisions of the streams file on the connection that the backend hands in."""

from alembic import context

from headway.database.tables import streams

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"], target_metadata=streams, version_table=attributes["version_table"]
)
with context.begin_transaction():
    context.run_migrations()
