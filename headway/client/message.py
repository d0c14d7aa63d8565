"""The messages that a client gets of a job that it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One thing that happened to a followed job, or to what is watched. `kind` of a followed job is one of these:

    `event`; `report`: log lines and metric points; `end`, the last one. And for the connection: `away`, while no server
    answers, and `back`; both have a `sentence`.
    """

    kind: str
    data: dict[str, Any]
    cursor: str
    """The place behind it."""
    subscription: str = ""
    """What it belongs to, of all that `Client.watch` watches."""
