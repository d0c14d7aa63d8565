"""A stored row that cannot be read. It is shown and counted, and can be deleted. Everything else continues."""

from __future__ import annotations

from enum import StrEnum

from headway.core.frozen import Frozen


class RowKind(StrEnum):
    """What a row holds."""

    JOB = "job"
    ATTEMPT = "attempt"
    CHECKPOINT = "checkpoint"
    EVENT = "event"
    REPORT = "report"
    WORKER = "worker"
    DATASET = "dataset"
    ACCOUNT = "account"
    AUDIT = "audit"


class DamagedRow(Frozen):
    """`id` is the row's key, such as `j-abc/3` for an attempt; `name` what people call it, if it has a name.

    `project` is known of jobs only.
    """

    kind: RowKind
    id: str
    name: str
    reason: str
    project: str | None = None
