"""Columns that jobs are listed by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("dataset", sa.String(64)))
    op.add_column("jobs", sa.Column("snapshot", sa.String(64)))
    op.add_column("jobs", sa.Column("labels", sa.Text, nullable=False, server_default=""))
    for name in ("created", "duration", "loss", "accuracy", "f1"):
        op.add_column("jobs", sa.Column(name, sa.Float))
    op.execute("UPDATE jobs SET created = 0")
