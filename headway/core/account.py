"""Who uses an installation: projects, users with a role in each, and their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from headway.core.frozen import Frozen
from headway.core.name import Name

DEFAULT_PROJECT = "default"
"""The project that every installation has."""


class Role(StrEnum):
    """In one project. `viewer` reads. `member` does everything with the project's jobs and datasets, too."""

    VIEWER = "viewer"
    MEMBER = "member"


class Scope(StrEnum):
    """What a personal token allows of what its user may do. `fleet`: to drain workers, undrain and restore them."""

    READ = "read"
    WRITE = "write"
    FLEET = "fleet"


@dataclass(frozen=True)
class Rights:
    """What a user's credential allows. `scopes`: None if it allows all that its user may do, as a login does.

    `project`: the only one that a token allows; None if it allows each in which the user has a role.
    """

    user: str
    admin: bool = False
    roles: tuple[tuple[str, Role], ...] = ()
    scopes: frozenset[Scope] | None = None
    project: str | None = None

    def role_in(self, project: str) -> Role | None:
        """The user's role in a project; None if the user may not see it."""
        if self.project not in (None, project):
            return None
        return Role.MEMBER if self.admin else dict(self.roles).get(project)


class AccountRecord(Frozen):
    """What the database keeps by `id`, compare-and-set on `version`. Times are seconds since the epoch."""

    id: str
    version: int = 1


class Project(AccountRecord):
    """A project; its `id` is its name."""

    id: Name
    created_at: float


class User(AccountRecord):
    """A person, or with `service` a program, which cannot log in. The `id` is the name.

    `uid` tells a user from a later one of the same name. Sessions from before `sessions_since` do not hold. `password`
    is an Argon2id hash; `known_places` are the latest addresses from which the user logged in with it.
    """

    id: Name
    uid: str
    created_at: float
    admin: bool = False
    service: bool = False
    disabled: bool = False
    roles: dict[Name, Role] = {}
    sessions_since: float = 0.0
    password: str | None = Field(default=None, repr=False)
    known_places: tuple[str, ...] = ()


class StoredToken(AccountRecord):
    """A token of which only the hash is stored. `user` is a user's `uid`; None for one that lets machines join.

    `project`: the only one that it allows; None if it allows all of the user's. `uses` counts the machines that joined
    by it, `maximum_uses` bounds them.
    """

    user: str | None
    name: str
    sha256: str = Field(repr=False)
    scopes: tuple[Scope, ...] = ()
    project: str | None = None
    made_at: float
    expires_at: float | None
    used_at: float | None = None
    uses: int = 0
    maximum_uses: int | None = None


class Session(AccountRecord):
    """A login; of a browser's cookie only the hash is stored. `user`: the `uid`; None: whoever has the home.

    `token`: the id of the personal token that it was opened with; `signed_token`: that of another one. The session
    allows what the token allows, as long as the token holds. `renewed`: how often the session of a command line was;
    None for one of a browser.
    """

    user: str | None
    token: str | None = None
    signed_token: str | None = None
    renewed: int | None = None
    sha256: str = Field(repr=False)
    made_at: float
    expires_at: float


class Invitation(AccountRecord):
    """A link with which a user, by the `uid`, sets a password once. Only its hash is stored."""

    user: str
    sha256: str = Field(repr=False)
    expires_at: float


class LoginFailures(AccountRecord):
    """How many wrong passwords came `since` then; the `id` says for what."""

    count: int
    since: float


class Revocation(AccountRecord):
    """A signed token, by its id, that does not hold any more."""

    revoked_at: float


ACCOUNT_KINDS: dict[str, type[AccountRecord]] = {
    "project": Project,
    "user": User,
    "token": StoredToken,
    "revocation": Revocation,
    "session": Session,
    "invitation": Invitation,
    "login-failures": LoginFailures,
}
"""The kinds of records, as databases and backups name them."""


def kind_of(record: type[AccountRecord]) -> str:
    """The name of a kind of records."""
    return next(name for name, kind in ACCOUNT_KINDS.items() if kind is record)
