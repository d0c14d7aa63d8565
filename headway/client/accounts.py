"""Projects, users, tokens and the audit, for administrators, and for each user what is the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headway.client.connection import Connection, path_part

_Record = dict[str, Any]


class Accounts:
    """All methods raise NotAllowed for what only an administrator may do, and NotFound for what one does not see."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def projects(self) -> list[_Record]:
        """The projects in which one has a role; for administrators all."""
        found: list[_Record] = self._connection.request("GET", "/projects").json()
        return found

    def add_project(self, name: str) -> _Record:
        """Add a project."""
        return self._sent("POST", "/projects", {"name": name})

    def users(self) -> list[_Record]:
        """All users."""
        found: list[_Record] = self._connection.request("GET", "/users").json()
        return found

    def add_user(
        self, name: str, *, roles: Mapping[str, str] | None = None, admin: bool = False, service: bool = False
    ) -> _Record:
        """Add a user. `roles` are by project: member or viewer."""
        return self._sent(
            "POST", "/users", {"name": name, "roles": dict(roles or {}), "admin": admin, "service": service}
        )

    def change_user(
        self, name: str, *, admin: bool | None = None, disabled: bool | None = None, end_sessions: bool = False
    ) -> _Record:
        """Make a user an administrator or not, disable or enable it, end its sessions in browsers."""
        change = {"admin": admin, "disabled": disabled, "end_sessions": end_sessions}
        return self._sent("PATCH", f"/users/{path_part(name)}", change)

    def invite(self, name: str) -> _Record:
        """Invite a user to set a password: `path` is that of a link that holds for a week, and works once."""
        return self._sent("POST", f"/users/{path_part(name)}/invitation", {})

    def delete_user(self, name: str) -> None:
        """Delete a user with all tokens."""
        self._connection.request("DELETE", f"/users/{path_part(name)}")

    def give_role(self, name: str, project: str, role: str) -> _Record:
        """Give a user a role in a project: member or viewer."""
        return self._sent("PUT", f"/users/{path_part(name)}/roles/{path_part(project)}", {"role": role})

    def take_role(self, name: str, project: str) -> _Record:
        """Take a user's role in a project away."""
        path = f"/users/{path_part(name)}/roles/{path_part(project)}"
        user: _Record = self._connection.request("DELETE", path).json()
        return user

    def tokens(self) -> list[_Record]:
        """The tokens that hold, without their text: one's own; for administrators all."""
        found: list[_Record] = self._connection.request("GET", "/tokens").json()
        return found

    def add_token(
        self,
        name: str,
        *,
        user: str | None = None,
        scopes: Sequence[str] = ("read", "write"),
        project: str | None = None,
        days: float | None = 90,
    ) -> _Record:
        """Make a personal token. Its `text` is shown this once. `days`: None if it does not expire."""
        new = {"name": name, "user": user, "scopes": list(scopes), "project": project, "days": days}
        return self._sent("POST", "/tokens", new)

    def add_join_token(self, name: str, *, days: float | None = 7, maximum_uses: int | None = None) -> _Record:
        """Make a token with which machines join as workers. Its `text` is shown this once."""
        return self._sent("POST", "/tokens/join", {"name": name, "days": days, "maximum_uses": maximum_uses})

    def revoke_token(self, token: str) -> None:
        """Revoke a token, by `revoke` in the list."""
        self._connection.request("DELETE", f"/tokens/{path_part(token)}")

    def revoke_own_token(self) -> None:
        """Revoke the token with which one asks."""
        self._connection.request("DELETE", "/account/token")

    def audit(
        self, *, project: str | None = None, user: str | None = None, before: str | None = None, limit: int = 100
    ) -> list[_Record]:
        """What was changed and what was refused, newest first; `before`: the `id` of an entry."""
        asked = {"of_project": project, "user": user, "before": before, "limit": limit}
        params = {name: value for name, value in asked.items() if value is not None}
        found: list[_Record] = self._connection.request("GET", "/audit", params=params).json()
        return found

    def _sent(self, method: str, path: str, body: _Record) -> _Record:
        answer: _Record = self._connection.request(method, path, json=body).json()
        return answer
