"""Users: who they are, and their roles."""

from __future__ import annotations

from fastapi import Depends
from pydantic import BaseModel, ConfigDict

from headway.core.account import Role, Scope, User
from headway.core.name import Name
from headway.server.access import Action, Caller
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.server import Server

router = guarded_router(tags=["users"])
READ = [Depends(Allow(Action.USERS_READ))]
WRITE = [Depends(Allow(Action.USERS_WRITE))]


class UserView(BaseModel):
    """A user. `roles` are by project. A service account cannot log in. Times are seconds since the epoch."""

    name: str
    admin: bool
    service: bool
    disabled: bool
    roles: dict[str, Role]
    created_at: float


class NewUser(BaseModel):
    """A user to add, with a role in each of these projects."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    admin: bool = False
    service: bool = False
    roles: dict[Name, Role] = {}


class UserChange(BaseModel):
    """What to change of a user; what is left out stays. `end_sessions`: end those that are open in browsers."""

    model_config = ConfigDict(extra="forbid")

    admin: bool | None = None
    disabled: bool | None = None
    end_sessions: bool = False


class RoleGiven(BaseModel):
    """The role to give."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class InvitationView(BaseModel):
    """With it, once, the user sets a password: `headway login` takes the URL with this path. Shown this once."""

    path: str
    invitation: str
    expires_at: float


class Account(BaseModel):
    """Whoever asks. `user` is null for a token of the server's home, which may do everything.

    `scopes` and `project` are those of a personal token. Null means that the token is not limited in this way.
    """

    user: UserView | None
    credential: str
    scopes: tuple[Scope, ...] | None
    project: str | None


@router.get("/account", dependencies=[Depends(Allow(Action.ACCOUNT_READ))])
async def get_account(caller: CallerHere, server: ServerHere) -> Account:
    """Who the token says that you are, and what you may do."""
    return account_of(caller, server)


def account_of(caller: Caller, server: Server) -> Account:
    """What an account shows of its caller."""
    me = server.users.me(caller)
    rights = caller.rights
    scopes = rights.scopes if rights is not None else None
    return Account(
        user=None if me is None else _view(me),
        credential=caller.credential,
        scopes=None if scopes is None else tuple(sorted(scopes)),
        project=rights.project if rights is not None else None,
    )


@router.delete("/account/token", dependencies=[Depends(Allow(Action.ACCOUNT_LEAVE))], status_code=204)
async def revoke_own_token(caller: CallerHere, server: ServerHere) -> None:
    """Revoke the token, or the browser's session, with which you ask."""
    await server.credentials.leave(caller)


@router.get("/users", dependencies=READ)
async def list_users(caller: CallerHere, server: ServerHere) -> list[UserView]:
    """All users, by name. Administrators only."""
    return [_view(user) for user in server.users.list(caller)]


@router.post("/users", dependencies=WRITE, status_code=201)
async def add_user(new: NewUser, caller: CallerHere, server: ServerHere) -> UserView:
    """Add a user. Administrators only."""
    return _view(await server.users.add(caller, new.name, admin=new.admin, service=new.service, roles=dict(new.roles)))


@router.patch("/users/{user}", dependencies=WRITE)
async def change_user(user: str, change: UserChange, caller: CallerHere, server: ServerHere) -> UserView:
    """Make a user an administrator or not, disable or enable it. It holds at once, for open streams, too."""
    return _view(await server.users.change(caller, user, **change.model_dump()))


@router.post("/users/{user}/invitation", dependencies=WRITE, status_code=201)
async def invite_user(user: str, caller: CallerHere, server: ServerHere) -> InvitationView:
    """Invite a user to set a password, for the first time or again. Earlier invitations of the user end."""
    invitation, text = await server.invitations.make(caller, user)
    return InvitationView(path=f"/login?invitation={text}", invitation=text, expires_at=invitation.expires_at)


@router.delete("/users/{user}", dependencies=WRITE, status_code=204)
async def delete_user(user: str, caller: CallerHere, server: ServerHere) -> None:
    """Delete a user with all tokens. Jobs stay."""
    await server.users.delete(caller, user)


@router.put("/users/{user}/roles/{project}", dependencies=WRITE)
async def give_role(user: str, project: str, given: RoleGiven, caller: CallerHere, server: ServerHere) -> UserView:
    """Give a user a role in a project, in place of the one that the user had there."""
    return _view(await server.users.give_role(caller, user, project, given.role))


@router.delete("/users/{user}/roles/{project}", dependencies=WRITE)
async def take_role(user: str, project: str, caller: CallerHere, server: ServerHere) -> UserView:
    """Take a user's role in a project away."""
    return _view(await server.users.take_role(caller, user, project))


def _view(user: User) -> UserView:
    return UserView(name=user.id, **user.model_dump(include={*UserView.model_fields} - {"name"}))
