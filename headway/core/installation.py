"""What the servers of one installation share through its database: a secret, and who of them leads."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from headway.core.frozen import Frozen


class Installation(Frozen):
    """Drawn by the first server: an id that its stores are known by, and the secret that signs its tokens."""

    id: str
    secret: str


class Leadership(Frozen):
    """The server that schedules and records, at `url`. `term` grows with each leader, `beat` while one lives.

    The others pass everything on to it. One that sees neither change for a leader's lease takes over. `at` is the time
    that the leader went by when it wrote this, in seconds since the epoch; 0 if it is not known.
    """

    term: int = 0
    beat: int = 0
    server: str = ""
    url: str = ""
    at: float = 0.0

    @model_serializer(mode="wrap")
    def _without_unknown_time(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Compare-and-set compares documents, and those of servers before this field have none."""
        return {name: value for name, value in fields(self).items() if name != "at" or value}
