"""What servers of one installation share; and indexes for listing many jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    for name in ("created", "duration", "loss", "accuracy", "f1"):
        op.create_index(f"jobs_by_{name}", "jobs", ["project", name, "sequence"])
