"""Alembic's entry: runs the revisions of the main file on the connection that the backend hands in."""

from alembic import context

from headway.database.tables import main

context.configure(connection=context.config.attributes["connection"], target_metadata=main)
with context.begin_transaction():
    context.run_migrations()
