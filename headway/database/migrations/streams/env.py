"""Alembic's entry: runs the revisions of the streams file on the connection that the backend hands in."""

from alembic import context

from headway.database.tables import streams

context.configure(connection=context.config.attributes["connection"], target_metadata=streams)
with context.begin_transaction():
    context.run_migrations()
