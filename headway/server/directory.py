"""Projects, users, tokens, sessions and revocations, as stored, in the leading server's memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from headway.core.account import (
    ACCOUNT_KINDS,
    DEFAULT_PROJECT,
    AccountRecord,
    Invitation,
    LoginFailures,
    Project,
    Revocation,
    Session,
    StoredToken,
    User,
)
from headway.database.base import Database
from headway.errors import Conflict
from headway.server.clock import Clock

_Record = TypeVar("_Record", bound=AccountRecord)


class Directory:
    """Every request looks here, so nothing is read from the database for it.

    Only the leading server answers requests. So a change holds at once: for requests to come, and, as `on_change`
    tells, for streams that are open.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._records: dict[type[AccountRecord], dict[str, AccountRecord]] = {}
        self._users_by_uid: dict[str, User] = {}
        self.changing = asyncio.Lock()
        """Whoever looks at records to decide on a change holds it until the change is stored."""
        self.on_change: Sequence[Callable[[], None]] = ()
        """Whom to tell that somebody may have fewer rights now."""

    async def open(self) -> None:
        """Read all; the first server makes the default project."""
        await self._read()
        if not self.has_project(DEFAULT_PROJECT):
            await self.put(Project(id=DEFAULT_PROJECT, created_at=self._clock.now()))

    async def _read(self) -> None:
        for kind in ACCOUNT_KINDS.values():
            self._records[kind] = {one.id: one for one in await self._database.accounts(kind)}
        self._users_by_uid = {user.uid: user for user in self.users()}

    def _of(self, kind: type[_Record]) -> dict[str, _Record]:
        return self._records.get(kind, {})  # type: ignore[return-value]

    def projects(self) -> list[Project]:
        """All projects, by name."""
        return sorted(self._of(Project).values(), key=lambda project: project.id)

    def has_project(self, name: str) -> bool:
        """Whether there is a project of that name."""
        return name in self._of(Project)

    def users(self) -> list[User]:
        """All users, by name."""
        return sorted(self._of(User).values(), key=lambda user: user.id)

    def user_named(self, name: str) -> User | None:
        """The user of that name."""
        return self._of(User).get(name)

    def user(self, uid: str) -> User | None:
        """The user with that `uid`."""
        return self._users_by_uid.get(uid)

    def tokens(self) -> list[StoredToken]:
        """All stored tokens, oldest first."""
        return sorted(self._of(StoredToken).values(), key=lambda token: token.made_at)

    def token(self, token_id: str) -> StoredToken | None:
        """The stored token with that id."""
        return self._of(StoredToken).get(token_id)

    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        return sorted(self._of(Session).values(), key=lambda session: session.made_at)

    def session(self, session_id: str) -> Session | None:
        """The session with that id."""
        return self._of(Session).get(session_id)

    def invitations(self) -> list[Invitation]:
        """All invitations."""
        return list(self._of(Invitation).values())

    def invitation(self, invitation_id: str) -> Invitation | None:
        """The invitation with that id."""
        return self._of(Invitation).get(invitation_id)

    def login_failures(self, key: str) -> LoginFailures | None:
        """What was counted of wrong passwords under that key."""
        return self._of(LoginFailures).get(key)

    def is_revoked(self, credential: str) -> bool:
        """Whether a signed token was revoked, by its id."""
        return credential in self._of(Revocation)

    async def put(self, record: AccountRecord) -> None:
        """Store a new record, or one that was made by `changed`. Raises Conflict when another writer was first."""
        if not await self._database.put_account(record):
            await self._read()
            raise Conflict("This was changed at the same moment. Look at it, then try again.")
        self._records.setdefault(type(record), {})[record.id] = record
        if isinstance(record, User):
            self._users_by_uid[record.uid] = record
        if isinstance(record, User | Revocation):
            self._tell()

    async def delete(self, record: AccountRecord) -> None:
        """Delete a record. Raises Conflict when another writer was first."""
        if not await self._database.delete_account(record):
            await self._read()
            raise Conflict("This was changed at the same moment. Look at it, then try again.")
        self._records[type(record)].pop(record.id, None)
        if isinstance(record, User):
            self._users_by_uid.pop(record.uid, None)
        self._tell()

    def _tell(self) -> None:
        for tell in self.on_change:
            tell()


def changed(record: _Record, **fields: object) -> _Record:
    """The record's next version."""
    return record.model_copy(update={**fields, "version": record.version + 1})
