"""The verbs of users: list, add, change, give roles, delete."""

from __future__ import annotations

from headway.core.account import Role, User
from headway.errors import Conflict, NotFound
from headway.server.access import (
    Action,
    Caller,
    InstallationSubject,
    UserSubject,
    detail,
    made,
    no_project,
    require,
    require_in_installation,
)
from headway.server.clock import Clock
from headway.server.directory import Directory, changed
from headway.server.ids import draw_id


class Users:
    """Administrators change them. All verbs raise NotAllowed, and NotFound for a user or project that is not there."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def list(self, caller: Caller) -> list[User]:
        """All users, by name."""
        require_in_installation(caller, Action.USERS_READ)
        return self._directory.users()

    def me(self, caller: Caller) -> User | None:
        """The caller's own account; None for a token of the server's home."""
        require(caller, Action.ACCOUNT_READ, UserSubject(caller.user, caller.user_name), _absent(caller.user_name))
        return self._directory.user(caller.user) if caller.user is not None else None

    async def add(
        self, caller: Caller, name: str, *, admin: bool = False, service: bool = False, roles: dict[str, Role]
    ) -> User:
        """A new user. Raises Conflict when the name is taken."""
        require_in_installation(caller, Action.USERS_WRITE)
        made(UserSubject("", name))
        detail(_words(admin=admin, service=service, roles=roles))
        async with self._directory.changing:
            if self._directory.user_named(name) is not None:
                raise Conflict(f"User {name} exists already.")
            self._check_projects(roles)
            user = User(
                id=name,
                uid=draw_id("u-"),
                created_at=self._clock.now(),
                admin=admin,
                service=service,
                roles=roles,
            )
            await self._directory.put(user)
        return user

    async def change(
        self,
        caller: Caller,
        name: str,
        *,
        admin: bool | None = None,
        disabled: bool | None = None,
        end_sessions: bool = False,
    ) -> User:
        """Make a user an administrator or not, disable it, or enable it again; None leaves it as it is.

        What the user may not do any more ends at once, also where it is at work. Raises Conflict for the last
        administrator.
        """
        async with self._directory.changing:
            user = self._allowed(caller, name)
            detail(_words(admin=admin, disabled=disabled, ended=end_sessions or None))
            new = changed(
                user,
                admin=user.admin if admin is None else admin,
                disabled=user.disabled if disabled is None else disabled,
                sessions_since=self._clock.now() if end_sessions else user.sessions_since,
            )
            self._check_last_admin(caller, user, new)
            await self._directory.put(new)
        return new

    async def give_role(self, caller: Caller, name: str, project: str, role: Role) -> User:
        """Give a user a role in a project, in place of the one that the user had there."""
        async with self._directory.changing:
            user = self._allowed(caller, name)
            self._check_projects({project: role})
            detail(_words(roles={project: role}))
            new = changed(user, roles={**user.roles, project: role})
            await self._directory.put(new)
        return new

    async def take_role(self, caller: Caller, name: str, project: str) -> User:
        """Take a user's role in a project away."""
        async with self._directory.changing:
            user = self._allowed(caller, name)
            if project not in user.roles:
                raise NotFound(f"User {name} has no role in project {project}.")
            detail(f"no role in {project}")
            new = changed(user, roles={one: role for one, role in user.roles.items() if one != project})
            await self._directory.put(new)
        return new

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a user with all tokens and logins. Jobs stay. Raises Conflict for the last administrator."""
        async with self._directory.changing:
            user = self._allowed(caller, name)
            self._check_last_admin(caller, user, None)
            for token in self._directory.tokens():
                if token.user == user.uid:
                    await self._directory.delete(token)
            for session in self._directory.sessions():
                if session.user == user.uid:
                    await self._directory.delete(session)
            for invitation in self._directory.invitations():
                if invitation.user == user.uid:
                    await self._directory.delete(invitation)
            await self._directory.delete(user)

    def _allowed(self, caller: Caller, name: str) -> User:
        """The user, if the caller may change users. Whoever may not is told so, whether or not there is that user."""
        require(caller, Action.USERS_WRITE, InstallationSubject(), _absent(name))
        made(UserSubject("", name))
        user = self._directory.user_named(name)
        if user is None:
            raise _absent(name)
        return user

    def _check_projects(self, roles: dict[str, Role]) -> None:
        for project in roles:
            if not self._directory.has_project(project):
                raise no_project(project)

    def _check_last_admin(self, caller: Caller, user: User, new: User | None) -> None:
        """The server's home can always make another; whoever has no access to it would be locked out."""
        stays = new is not None and new.admin and not new.disabled
        others = [one for one in self._directory.users() if one.admin and not one.disabled and one.uid != user.uid]
        if user.admin and not user.disabled and not stays and not others and not caller.is_owner:
            raise Conflict(f"User {user.id} is the only administrator. Make another one first.")


def _absent(name: str) -> NotFound:
    return NotFound(f"User {name} does not exist. `headway users` lists those that do.")


def _words(
    *,
    admin: bool | None = None,
    service: bool | None = None,
    disabled: bool | None = None,
    ended: bool | None = None,
    roles: dict[str, Role] | None = None,
) -> str:
    """What is changed, for the audit."""
    said = [f"{role} of {project}" for project, role in (roles or {}).items()]
    flags = {"an administrator": admin, "a service account": service, "disabled": disabled, "logged out": ended}
    said += [words if value else f"not {words}" for words, value in flags.items() if value is not None]
    return ", ".join(said)
