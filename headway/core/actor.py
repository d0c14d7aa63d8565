"""Who caused a change: kept with the job and with its events."""

from __future__ import annotations

from enum import StrEnum

from headway.core.frozen import Frozen


class ActorKind(StrEnum):
    """`user`: a person or program. `worker`: a worker, for itself or for its ranks."""

    USER = "user"
    WORKER = "worker"


class Actor(Frozen):
    """`credential` is the id of the token that was used; empty for one without an id, and for what a report caused.

    `worker` is the worker's id. `user` is the user's uid; None where no user stands behind the token, and for what is
    older than this field.
    """

    kind: ActorKind
    credential: str = ""
    worker: str | None = None
    user: str | None = None
