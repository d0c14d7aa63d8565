"""Jobs are counted by status from an index, without reading their rows."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("jobs_by_status", "jobs", ["project", "deleted", "status", "hold"])
