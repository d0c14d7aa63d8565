"""Reports."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reports",
        sa.Column("job", sa.String(40), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("worker", sa.String(40), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("through", sa.Integer, nullable=False),
        sa.Column("last", sa.Boolean, nullable=False),
        sa.Column("facts", sa.LargeBinary, nullable=False),
        sa.Column("logs", sa.LargeBinary, nullable=False),
        sa.Column("metrics", sa.LargeBinary, nullable=False),
    )
