"""Jobs, attempts, events, workers, datasets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64)),
        sa.Column("idempotency_key", sa.String(256), nullable=False),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("unsettled", sa.Boolean, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("project", "idempotency_key", name="jobs_project_key"),
        sa.UniqueConstraint("project", "name", name="jobs_project_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_queue", "jobs", ["status", "priority", "sequence"])
    op.create_index("jobs_unsettled", "jobs", ["unsettled"])
    for name in ("attempts", "events"):
        op.create_table(
            name,
            sa.Column("job", sa.String(40), primary_key=True),
            sa.Column("number", sa.Integer, primary_key=True),
            sa.Column("document", sa.Text, nullable=False),
        )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("registered_at", sa.Float, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
