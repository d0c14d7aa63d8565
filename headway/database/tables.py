"""The SQL schema: documents as JSON, with columns only for lookups."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from headway.core.job_query import JobSort

MAIN_REVISION = "0009"
STREAMS_REVISION = "0001"

main = MetaData()
streams = MetaData()

jobs = Table(
    "jobs",
    main,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("name", String(64)),
    Column("idempotency_key", String(256), nullable=False),
    Column("body_hash", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("unsettled", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False, default=False),
    Column("hold", Boolean, nullable=False, default=False),
    Column("document", Text, nullable=False),
    Column("dataset", String(64)),
    Column("snapshot", String(64)),
    Column("labels", Text, nullable=False, server_default=""),
    *(Column(sort.value, Float) for sort in JobSort),
    UniqueConstraint("project", "idempotency_key", name="jobs_project_key"),
    UniqueConstraint("project", "name", name="jobs_project_name"),
    Index("jobs_queue", "status", "priority", "sequence"),
    Index("jobs_unsettled", "unsettled"),
    Index("jobs_by_status", "project", "deleted", "status", "hold"),
    *(Index(f"jobs_by_{sort.value}", "project", sort.value, "sequence") for sort in JobSort),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    main,
    Column("job", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),
)

checkpoint_parts = Table(
    "checkpoint_parts",
    main,
    Column("job", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("document", Text, nullable=False),
)

events = Table(
    "events",
    main,
    Column("job", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),
)

workers = Table(
    "workers",
    main,
    Column("id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("document", Text, nullable=False),
)

datasets = Table(
    "datasets",
    main,
    Column("project", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("document", Text, nullable=False),
)

object_owners = Table(
    "object_owners",
    main,
    Column("project", String(64), primary_key=True),
    Column("object_id", String(128), primary_key=True),
)

accounts = Table(
    "accounts",
    main,
    Column("kind", String(16), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("document", Text, nullable=False),
)

audit = Table(
    "audit",
    main,
    Column("id", String(40), primary_key=True),
    Column("project", String(64)),
    Column("user_name", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Index("audit_by_project", "project", "id"),
    Index("audit_by_user", "user_name", "id"),
)

installation = Table(
    "installation",
    main,
    Column("key", String(40), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)

reports = Table(
    "reports",
    streams,
    Column("job", String(40), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("worker", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("through", Integer, nullable=False),
    Column("last", Boolean, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("logs", LargeBinary, nullable=False),
    Column("metrics", LargeBinary, nullable=False),
)
