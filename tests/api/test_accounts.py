"""Users, roles, projects and tokens, as an administrator and the users themselves meet them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headway.core.account import DEFAULT_PROJECT
from headway.server.access import Caller, CallerKind
from tests.api.conftest import SCRIPT, USER, Api
from tests.until import until

pytestmark = pytest.mark.anyio
URL = "/api/v1"


async def done(api: Api, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The answer of a request that succeeds."""
    answer = await api.http.request(method, URL + path, json=body, headers=headers)
    assert answer.is_success, (method, path, answer.text)
    return answer.json() if answer.content else None


async def refused(api: Api, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, str]:
    """Status and words of the answer to a request that is refused."""
    answer = await api.http.request(method, URL + path, json=body, headers=headers)
    assert not answer.is_success, (method, path, answer.text)
    return answer.status_code, answer.json()["detail"]


async def a_user(api: Api, name: str, role: str | None = "member", project: str = "vision", **new: Any) -> str:
    """A user with a role in a project, which is made if need be, and the text of a token of the user."""
    if project not in [one["name"] for one in await done(api, "GET", "/projects")]:
        await done(api, "POST", "/projects", {"name": project})
    await done(api, "POST", "/users", {"name": name, "roles": {project: role} if role else {}, **new})
    return str((await done(api, "POST", "/tokens", {"name": "laptop", "user": name}))["text"])


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def test_a_member_works_in_the_project_and_sees_no_other(api: Api) -> None:
    """Given a member of vision, then what is submitted without a project lands there, and others are not there."""
    ann = bearer(await a_user(api, "ann"))
    job = await done(api, "POST", "/jobs", {**SCRIPT, "name": "mine"}, ann)
    assert (job["project"], job["submitted_by"]["kind"]) == ("vision", "user")
    assert [one["name"] for one in (await done(api, "GET", "/jobs?project=vision", headers=ann))["jobs"]] == ["mine"]
    assert (await done(api, "GET", "/jobs"))["jobs"] == [], "the default project has none"
    assert [one["name"] for one in await done(api, "GET", "/projects", headers=ann)] == ["vision"]
    theirs = await refused(api, "GET", f"/jobs?project={DEFAULT_PROJECT}", ann)
    assert theirs == (404, f"Project {DEFAULT_PROJECT} does not exist. `headway projects` lists yours.")
    assert (await refused(api, "GET", "/jobs?project=Vision", ann))[0] == 404


async def test_a_viewer_reads_and_changes_nothing(api: Api) -> None:
    await a_user(api, "ann")
    await done(api, "POST", "/jobs?project=vision", {**SCRIPT, "name": "mine"})
    bob = bearer(await a_user(api, "bob", "viewer"))
    assert (await done(api, "GET", "/jobs/mine", headers=bob))["name"] == "mine"
    for method, path, body in (
        ("POST", "/jobs", SCRIPT),
        ("POST", "/jobs/mine/cancel", None),
        ("POST", "/jobs/mine/exec", {"command": ["id"]}),
        ("POST", "/jobs/mine/stacks", None),
        ("DELETE", "/jobs/mine", None),
    ):
        assert await refused(api, method, path, bob, body) == (
            403,
            "User bob is a viewer of project vision, which does not allow jobs.write.",
        )


async def test_a_token_allows_no_more_than_its_scopes_and_project(api: Api) -> None:
    await a_user(api, "ann")
    await done(api, "POST", "/projects", {"name": "audio"})
    await done(api, "PUT", "/users/ann/roles/audio", {"role": "member"})
    read = {"name": "read", "user": "ann", "scopes": ["read"], "project": "audio", "days": 1}
    made = await done(api, "POST", "/tokens", read)
    ann = bearer(made["text"])
    account = await done(api, "GET", "/account", headers=ann)
    assert (account["user"]["name"], account["scopes"], account["project"]) == ("ann", ["read"], "audio")
    assert (await refused(api, "GET", "/jobs?project=vision", ann))[0] == 404
    assert await refused(api, "POST", "/jobs", ann, SCRIPT) == (
        403,
        "This token has the scope read, which does not allow jobs.write.",
    )
    (listed,) = [one for one in await done(api, "GET", "/tokens", headers=ann) if one["id"] == made["id"]]
    assert (listed["user"], listed["name"], listed["scopes"], listed["project"]) == ("ann", "read", ["read"], "audio")
    assert listed["used_at"] is not None
    assert made["text"] not in (await api.http.get(f"{URL}/tokens")).text


async def test_no_scope_lets_a_token_of_an_administrator_administrate(api: Api) -> None:
    root = bearer(await a_user(api, "root", None, admin=True))
    assert len(await done(api, "GET", "/users", headers=root)) == 1
    for path, body in (("/users", {"name": "eve"}), ("/projects", {"name": "p"}), ("/tokens", {"name": "t"})):
        assert (await refused(api, "POST", path, root, body))[0] == 403
    assert (await refused(api, "POST", "/links", root))[0] == 403


@pytest.mark.parametrize("change", ["disable", "delete", "revoke", "role", "admin"])
async def test_what_is_taken_away_ends_at_once(api: Api, change: str) -> None:
    """Given a stream that a user follows, when the user loses the right to, then it ends and is not begun again."""
    text = await a_user(api, "ann", None if change == "admin" else "member", admin=change == "admin")
    project = "default" if change == "admin" else "vision"
    await done(api, "POST", f"/jobs?project={project}", {**SCRIPT, "name": "mine"})
    app_stream = asyncio.create_task(
        api.http.get(f"{URL}/jobs/mine/follow", headers={**bearer(text), "Accept": "text/event-stream"})
    )
    await until(lambda: api.server.following._live)
    assert not app_stream.done()
    (token,) = [one for one in await done(api, "GET", "/tokens") if one["user"] == "ann"]
    match change:
        case "disable":
            await done(api, "PATCH", "/users/ann", {"disabled": True})
        case "delete":
            await done(api, "DELETE", "/users/ann")
        case "revoke":
            await done(api, "DELETE", f"/tokens/{token['id']}")
        case "role":
            await done(api, "DELETE", "/users/ann/roles/vision")
        case "admin":
            await done(api, "PATCH", "/users/ann", {"admin": False})
    ended = await asyncio.wait_for(app_stream, 5)
    assert ended.text.startswith(": connected")
    status, _ = await refused(api, "GET", "/jobs/mine", bearer(text))
    assert status == {"role": 403, "admin": 403}.get(change, 401)


async def test_other_streams_stay_open_when_somebody_loses_a_right(api: Api) -> None:
    ann, bob = [bearer(await a_user(api, name)) for name in ("ann", "bob")]
    await done(api, "POST", "/jobs", {**SCRIPT, "name": "mine"}, ann)
    stream = asyncio.create_task(
        api.http.get(f"{URL}/jobs/mine/follow", headers={**bob, "Accept": "text/event-stream"})
    )
    await until(lambda: api.server.following._live)
    await done(api, "DELETE", "/users/ann")
    await done(api, "POST", "/jobs/mine/cancel", headers=bob)
    followed = await asyncio.wait_for(stream, 5)
    assert "job.cancelled" in followed.text, "what came after the deletion"


async def test_a_user_of_the_same_name_gets_nothing_of_the_one_before(api: Api) -> None:
    before = bearer(await a_user(api, "ann"))
    await done(api, "DELETE", "/users/ann")
    after = bearer(await a_user(api, "ann", "viewer"))
    assert (await refused(api, "GET", "/jobs", before))[0] == 401
    assert [one["user"] for one in await done(api, "GET", "/tokens", headers=after)] == ["ann"]


async def test_the_last_administrator_stays_one(api: Api) -> None:
    """Given one administrator, who logged in, then neither losing the role nor deleting the account is possible."""
    await a_user(api, "root", None, admin=True)
    uid = api.server.directory.user_named("root").uid  # type: ignore[union-attr]
    root = api.headers(Caller(CallerKind.USER, user=uid))
    for method, body in (("PATCH", {"admin": False}), ("PATCH", {"disabled": True}), ("DELETE", None)):
        assert await refused(api, method, "/users/root", root, body) == (
            409,
            "User root is the only administrator. Make another one first.",
        )
    await a_user(api, "second", None, admin=True)
    await done(api, "PATCH", "/users/root", {"admin": False}, root)
    assert (await refused(api, "GET", "/users", root))[0] == 403


@pytest.mark.parametrize("name", ["Ann", "ann ", "änn", "ann\u0301", "a" * 64, "", "../ann"])
async def test_names_that_could_be_mistaken_are_refused(api: Api, name: str) -> None:
    for path in ("/users", "/projects"):
        assert (await refused(api, "POST", path, {}, {"name": name}))[0] == 422


async def test_what_is_not_there_is_named(api: Api) -> None:
    await a_user(api, "ann")
    for method, path, body, subject in (
        ("POST", "/users", {"name": "bob", "roles": {"gone": "member"}}, "Project gone"),
        ("PUT", "/users/ann/roles/gone", {"role": "member"}, "Project gone"),
        ("PUT", "/users/gone/roles/vision", {"role": "member"}, "User gone"),
        ("PATCH", "/users/gone", {"admin": True}, "User gone"),
        ("POST", "/tokens", {"name": "x", "user": "gone"}, "User gone"),
    ):
        status, detail = await refused(api, method, path, {}, body)
        assert (status, detail.startswith(f"{subject} does not exist")) == (404, True)
    for path in ("/users", "/projects"):
        name = {"/users": "ann", "/projects": "vision"}[path]
        assert (await refused(api, "POST", path, {}, {"name": name}))[0] == 409


async def test_machines_join_by_a_token_that_counts_them(api: Api) -> None:
    """Given a token for two machines, then a third is refused; once it is revoked, no machine can join by it."""
    made = await done(api, "POST", "/tokens/join", {"name": "rack", "maximum_uses": 2})
    worker = {"worker": {"name": "one", "slots": 1, "threads_per_slot": 1, "host": "127.0.0.1", "port": 9}}
    for _ in range(2):
        await done(api, "POST", "/workers", worker, bearer(made["text"]))
    status, detail = await refused(api, "POST", "/workers", bearer(made["text"]), worker)
    assert (status, detail.startswith("Token rack (")) == (403, True)
    (listed,) = [one for one in await done(api, "GET", "/tokens") if one["name"] == "rack"]
    assert (listed["kind"], listed["uses"], listed["maximum_uses"]) == ("join", 2, 2)
    await done(api, "DELETE", f"/tokens/{made['id']}")
    assert (await refused(api, "POST", "/workers", bearer(made["text"]), worker))[0] == 401


async def test_the_homes_token_can_be_revoked_and_is_replaced(api: Api) -> None:
    path = api.server.settings.home / "user.token"
    old = path.read_text().strip()
    credential = api.server.callers.of(old).credential
    await done(api, "DELETE", f"/tokens/{credential}")
    assert (await refused(api, "GET", "/jobs", bearer(old)))[0] == 401
    new = path.read_text().strip()
    assert new != old
    assert await done(api, "GET", "/jobs", headers=bearer(new)) is not None


async def test_accounts_are_there_after_a_restart(api: Api) -> None:
    """Given users and tokens, when another server takes up the home, then they hold, and what was revoked does not."""
    ann, bob = await a_user(api, "ann"), await a_user(api, "bob")
    (token,) = [one for one in await done(api, "GET", "/tokens") if one["user"] == "bob"]
    await done(api, "DELETE", f"/tokens/{token['id']}")
    await api.server.directory.open()
    assert (await done(api, "GET", "/account", headers=bearer(ann)))["user"]["name"] == "ann"
    assert (await refused(api, "GET", "/account", bearer(bob)))[0] == 401


@pytest.mark.parametrize(
    "text", ["hwp_", "hwp_t-none.x", "hwp_.", "hw_x", "eyJhbGciOiJub25lIn0.e30.", "hwp_" + "x" * 4000, "hwp_ü"]
)
async def test_texts_that_are_no_token_are_refused(api: Api, text: str) -> None:
    answer = await api.http.get(f"{URL}/jobs", headers={"Authorization": f"Bearer {text}".encode()})
    assert answer.status_code == 401


async def test_a_truncated_or_changed_token_is_refused(api: Api) -> None:
    text = await a_user(api, "ann")
    for wrong in (text[:-1], text + "x", text.upper(), text.partition(".")[0], text.replace(".", "..")):
        assert (await refused(api, "GET", "/account", bearer(wrong)))[0] == 401


async def test_a_service_account_opens_no_session(api: Api) -> None:
    await a_user(api, "robot", service=True)
    uid = api.server.directory.user_named("robot").uid  # type: ignore[union-attr]
    robot = api.headers(Caller(CallerKind.USER, user=uid))
    assert await refused(api, "POST", "/links", robot) == (403, "User robot is a service account, which cannot log in.")


async def test_what_waits_for_jobs_of_another_project_names_none(api: Api) -> None:
    """Given a worker that a job of another project has, then neither the job that waits nor the list names it."""
    ann = bearer(await a_user(api, "ann"))
    await api.worker(slots=1)
    await done(api, "POST", "/jobs", {**SCRIPT, "name": "secret-plan"})
    while (await done(api, "GET", "/jobs/secret-plan"))["status"] == "queued":
        await asyncio.sleep(0.01)
    await done(api, "POST", "/jobs", {**SCRIPT, "name": "mine"}, ann)
    mine = str(await done(api, "GET", "/jobs/mine", headers=ann))
    assert ("a job of another project" in mine, "secret-plan" in mine) == (True, False)
    (worker,) = await done(api, "GET", "/workers", headers=ann)
    assert (worker["used_slots"], worker["ranks"]) == (1, {})
    assert (await done(api, "GET", "/workers"))[0]["ranks"] == {"secret-plan": 1}


async def test_a_project_is_asked_for_where_it_cannot_be_told(api: Api) -> None:
    ann = bearer(await a_user(api, "ann"))
    await done(api, "POST", "/projects", {"name": "audio"})
    await done(api, "PUT", "/users/ann/roles/audio", {"role": "viewer"})
    assert await refused(api, "GET", "/jobs", ann) == (
        422,
        "Name a project, by --project or HEADWAY_PROJECT. Yours are: audio, vision.",
    )
    nobody = bearer(await a_user(api, "eve", None))
    status, detail = await refused(api, "GET", "/jobs", nobody)
    assert (status, detail) == (403, "User eve has no role in any project. An administrator can give one.")


async def test_the_owner_of_the_home_needs_no_account(api: Api) -> None:
    account = await done(api, "GET", "/account", headers=api.headers(USER))
    assert (account["user"], account["scopes"], account["project"]) == (None, None, None)
    assert await refused(api, "POST", "/tokens", {}, {"name": "x"}) == (
        422,
        "The token of the server's home is no user's. Name the user that the token is for.",
    )
