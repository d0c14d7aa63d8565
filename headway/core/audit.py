"""Who did what to what, from where, with which credential."""

from __future__ import annotations

from enum import StrEnum

from headway.core.frozen import Frozen


class Outcome(StrEnum):
    """`allowed`: the change was allowed, and stored with this entry, or had no effect. `refused`: it was not."""

    ALLOWED = "allowed"
    REFUSED = "refused"


class AuditEntry(Frozen):
    """One line of the audit. Entries are never changed; they stay when what they name is gone.

    `id` grows with time. `user` is a user's name, empty for a token that belongs to no user. `subject` is what it was
    done to, such as `job j-abc`; `project` is None for what belongs to the installation.
    """

    id: str
    at: float
    user: str
    credential: str
    address: str
    action: str
    project: str | None
    subject: str
    outcome: Outcome
    detail: str = ""
