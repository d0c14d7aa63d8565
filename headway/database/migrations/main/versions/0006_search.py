"""Indexes to find jobs by a part of their name and by labels, without reading their documents."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("jobs_names", "jobs", ["project", "name", "sequence"])
        op.execute(r"CREATE INDEX jobs_labels ON jobs USING gin (string_to_array(labels, E'\n'))")
    else:  # there the unique index of names has the sequence as well
        op.create_index("jobs_labels", "jobs", ["project", "labels"])
