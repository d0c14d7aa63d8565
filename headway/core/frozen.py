"""The base of every record: immutable, and refusing fields it does not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable record; `model_copy(update=...)` makes the changed one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
