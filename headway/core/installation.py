"""What the servers of one installation share through its database: a secret, and who of them leads."""

from __future__ import annotations

from headway.core.frozen import Frozen


class Installation(Frozen):
    """Drawn by the first server: an id that its stores are known by, and the secret that signs its tokens."""

    id: str
    secret: str


class Leadership(Frozen):
    """The server that schedules and records, at `url`. `term` grows with each leader, `beat` while one lives.

    The others pass everything on to it. One that sees neither change for a leader's lease takes over.
    """

    term: int = 0
    beat: int = 0
    server: str = ""
    url: str = ""
