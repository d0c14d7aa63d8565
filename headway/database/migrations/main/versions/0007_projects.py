"""Datasets have a project, '' for those that all share; objects addressed by their hash have owners."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The primary key changes, which SQLite does only by another table. A server of the version before that still leads
    # on a shared PostgreSQL answers 503 to new datasets until this one takes over.
    op.create_table(
        "project_datasets",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.execute(
        "INSERT INTO project_datasets (project, name, document) "
        "SELECT CASE WHEN name IN ('digits', 'mnist') THEN '' ELSE 'default' END, name, document FROM datasets"
    )
    op.drop_table("datasets")
    op.rename_table("project_datasets", "datasets")
    op.create_table(
        "object_owners",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("object_id", sa.String(128), primary_key=True),
    )
    op.execute(
        "INSERT INTO object_owners (project, object_id) "
        "SELECT DISTINCT project, 'snapshots/' || substr(snapshot, 1, 2) || '/' || snapshot FROM jobs "
        "WHERE snapshot IS NOT NULL AND NOT deleted"
    )
