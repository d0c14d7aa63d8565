"""Alembic's entry: runs the revisions of the main file on the connection that the backend hands in."""

from alembic import context

from headway.database.tables import main

attributes = context.config.attributes
context.configure(connection=attributes["connection"], target_metadata=main, version_table=attributes["version_table"])
with context.begin_transaction():
    context.run_migrations()
