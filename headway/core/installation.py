"""What the servers of one installation share through its database: a secret, and which server leads."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from headway.core.frozen import Frozen


class Installation(Frozen):
    """Created by the first server: an id that marks the installation's stores, and the secret that signs its tokens."""

    id: str
    secret: str


class Leadership(Frozen):
    """The server at `url` schedules and records. `term` grows with each leader, `beat` while one is alive.

    The other servers forward all connections to it. A server that sees no change for a leader's lease takes over. `at`
    is the leader's time when it wrote this, in seconds since the epoch; 0 if it is not known.
    """

    term: int = 0
    beat: int = 0
    server: str = ""
    url: str = ""
    at: float = 0.0

    @model_serializer(mode="wrap")
    def _without_unknown_time(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a missing `at`: compare-and-set compares whole documents, and older servers wrote none."""
        return {name: value for name, value in fields(self).items() if name != "at" or value}
