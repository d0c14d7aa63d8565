"""Every route, called by every kind of caller, for its own objects, those of others, and absent ones.

A kind of caller that is never allowed the action is refused, whatever it names. For an object that a caller may not
see, the answer is byte for byte the one for an absent object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.server.app import API_PREFIX, guarded_routes
from headway.server.server import Server
from headway.server.services import inquiries
from headway.settings import Settings
from tests.api.conftest import PROJECT, SCRIPT, opened
from tests.api.world import ABSENT, World, a_world

pytestmark = pytest.mark.anyio

USERS = {
    "admins": "owner admin",
    "logins": "owner admin member viewer",
    "writes": "owner admin member",
    "reads": "owner admin member viewer token",
}
"""Who of the users may do what. `owner` has the token of the server's home, `token` a personal one to read of a member.

`member` and `viewer` have their role in the project of the walk, and none in the other one.
"""
ROUTES = {
    "POST /jobs": "writes",
    "POST /jobs/plan": "writes",
    "GET /jobs": "reads",
    "GET /jobs/{job}": "reads",
    "PATCH /jobs/{job}": "writes",
    "GET /jobs/{job}/attempts": "reads",
    "GET /jobs/{job}/goodput": "reads",
    "GET /jobs/{job}/follow": "reads",
    "GET /jobs/{job}/events": "reads",
    "GET /jobs/{job}/logs": "reads",
    "GET /jobs/{job}/logs/search": "reads",
    "GET /jobs/{job}/metrics": "reads",
    "GET /jobs/{job}/artifacts": "reads",
    "GET /jobs/{job}/artifacts/{name}": "reads",
    "GET /jobs/{job}/checkpoints": "reads",
    "GET /jobs/{job}/checkpoints/{step}": "reads",
    "GET /jobs/{job}/checkpoints/{step}/{rank}": "reads rank",
    "GET /jobs/{job}/attempts/{attempt}/checkpoints/{from_attempt}/{step}/{rank}": "reads rank",
    "PUT /jobs/{job}/attempts/{attempt}/checkpoints/{step}/{rank}": "rank",
    "PUT /jobs/{job}/attempts/{attempt}/artifacts/{name}": "rank",
    "POST /jobs/{job}/rerun": "writes",
    "POST /jobs/{job}/rerun/plan": "writes",
    "POST /jobs/{job}/exec": "writes",
    "POST /jobs/{job}/stacks": "writes",
    "GET /events": "reads",
    "GET /live": "reads",
    "POST /live/{channel}": "reads",
    "GET /goodput": "reads",
    "GET /trainers": "reads",
    "GET /datasets": "reads",
    "GET /datasets/{dataset}": "reads",
    "POST /datasets/missing": "writes",
    "POST /datasets": "writes",
    "PUT /blocks/{sha256}": "writes",
    "GET /blocks/{sha256}": "reads worker",
    "PUT /snapshots/{sha256}": "writes",
    "HEAD /snapshots/{sha256}": "reads worker",
    "GET /snapshots/{sha256}": "reads worker",
    "GET /damaged": "admins",
    "DELETE /damaged/{kind}/{row}": "admins",
    "GET /projects": "reads",
    "POST /projects": "admins",
    "GET /account": "reads",
    "GET /users": "admins",
    "POST /users": "admins",
    "PATCH /users/{user}": "admins",
    "POST /users/{user}/invitation": "admins",
    "PUT /users/{user}/roles/{project}": "admins",
    "DELETE /users/{user}/roles/{project}": "admins",
    "DELETE /users/{user}": "admins",
    "GET /tokens": "reads",
    "POST /tokens": "logins",
    "POST /tokens/join": "admins",
    "DELETE /tokens/{token}": "logins",
    "GET /audit": "admins",
    "POST /links": "logins",
    "POST /session": "reads join worker rank",
    "POST /session/tokens": "reads join worker rank",
    "POST /session/renew": "reads join worker rank",
    "GET /session": "reads",
    "POST /workers": "join",
    "GET /workers": "reads",
    "POST /workers/{name}/drain": "admins",
    "POST /workers/{name}/undrain": "admins",
    "POST /workers/{name}/restore": "admins",
    "POST /workers/{worker}/heartbeat": "worker",
    "POST /workers/{worker}/ended-jobs": "worker",
    "POST /workers/{worker}/inquiries/{inquiry}": "worker",
    "POST /workers/{worker}/assignments/{assigned_job}/{assigned_attempt}/claim": "worker",
    "POST /workers/{worker}/assignments/{assigned_job}/{assigned_attempt}/refuse": "worker",
    "DELETE /account/token": "reads",
    "DELETE /session": "reads",
    "POST /jobs/{job}/pause": "writes",
    "POST /jobs/{job}/resume": "writes",
    "POST /jobs/{job}/cancel": "writes",
    "DELETE /jobs/{job}": "writes",
    "DELETE /datasets/{dataset}": "writes",
    "DELETE /workers/{worker}": "worker",
}
"""Who may use each route at all, in an order in which none ends what a later one needs."""
ONCE = {
    "DELETE /jobs/{job}",
    "DELETE /users/{user}/roles/{project}",
    "DELETE /users/{user}",
    "DELETE /tokens/{token}",
    "DELETE /account/token",
    "DELETE /session",
}
"""What ends what it names: one of those who may is asked to, the one who may do least."""
ROLES = ("viewer", "member", "token")
"""Users who may do less than everything; what one may not do is refused once it is seen."""
ENDLESS = {"GET /jobs/{job}/follow", "GET /events", "GET /live"}
"""Routes whose answer ends only with the job or the server. They are not called where they are allowed."""
NOTHING_THERE = {
    "POST /live/{channel}",
    "POST /workers/{worker}/inquiries/{inquiry}",
    "DELETE /damaged/{kind}/{row}",
    "POST /session",
    "POST /session/tokens",
    "POST /session/renew",
}
"""Routes for which the world has no object: nothing was asked of the worker, no row is damaged, and so on."""


def with_name(answer: httpx.Response, name: str, other: str) -> str:
    """The answer with another name in it. Answers show the first 12 digits of a hash."""
    return answer.text.replace(name, other).replace(name[:12], other[:12])


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(inquiries, "_ANSWER_SECONDS", 0.0)
    patient = Settings(home=tmp_path / "home", lease_seconds=1e6, stop_timeout_seconds=1e6)
    async with opened(Server(patient)) as api:  # no worker is lost however long the walk takes
        yield await a_world(api)


def kinds_of(route: str) -> list[str]:
    """Who may use the route."""
    return [kind for word in ROUTES[route].split() for kind in USERS.get(word, word).split()]


def test_the_table_has_every_route() -> None:
    assert set(ROUTES) == {f"{method} {route.path_format}" for route in guarded_routes() for method in route.methods}


async def test_each_kind_of_caller_reaches_only_its_own_objects(world: World) -> None:
    for route in ROUTES:
        allowed = kinds_of(route)
        for kind in world.headers:
            await check_others(world, route, kind, allowed=kind in allowed)
            if kind not in allowed:
                assert (await world.ask(route, kind, world.names(route)[0])).status_code == 403, (route, kind)
            elif route not in ENDLESS and (route not in ONCE or kind == allowed[-1]):
                own = (await world.ask(route, kind, world.names(route)[0])).status_code
                assert (own in (401, 403, 404, 500)) is (route in NOTHING_THERE), (route, kind, own)


async def check_others(world: World, route: str, kind: str, *, allowed: bool) -> None:
    """Objects of others get the same answer as absent ones. A kind that is never allowed gets one answer for all.

    A caller that sends bytes with another hash gets that error, whether or not others have the object.
    """
    own, others = world.names(route)
    expected = {403} if not allowed else {422} if "{sha256}" in route and route.startswith("PUT") else {404}
    if kind in ROLES:
        expected |= {404}  # whether it is allowed is said of what there is
    for name in [name for name in others if f"{{{name}}}" in route]:
        if name == "token" and kind in ("owner", "admin"):
            continue  # they see the tokens of all
        theirs, absent = [await world.ask(route, kind, {**own, name: one[name]}) for one in (others, ABSENT)]
        same = with_name(theirs, others[name], ABSENT[name])
        assert (theirs.status_code, same) == (absent.status_code, absent.text), (route, kind, name)
        assert theirs.status_code in expected, (route, kind, name, theirs.text)
    if kind in ROLES:
        await check_project(world, route, kind, others)


async def check_project(world: World, route: str, kind: str, others: dict[str, str]) -> None:
    """Given the name of another project, then a route that is about a project answers as for one that is not there."""
    if route not in in_a_project():
        return
    names = {**world.own, **others}
    theirs, absent = [await world.ask(route, kind, names, project) for project in ("other", "nothing")]
    assert (theirs.status_code, theirs.text.replace("other", "nothing")) == (absent.status_code, absent.text)
    assert theirs.status_code == (404 if "owner" in kinds_of(route) else 403), (route, kind, theirs.text)


def in_a_project() -> set[str]:
    """The routes that act in a project."""

    def names_one(dependant: Any) -> bool:
        return any(one.name == "project" for one in dependant.query_params) or any(
            map(names_one, dependant.dependencies)
        )

    return {
        f"{method} {route.path_format}"
        for route in guarded_routes()
        for method in route.methods
        if names_one(route.dependant)
    }


async def test_specs_cannot_name_objects_of_another_project(world: World) -> None:
    """Given a spec that names another project's job, snapshot or dataset, it is refused like one that names an absent
    one.
    """
    job, code = world.others["job"], world.others["sha256"]
    for theirs, absent, fields in (
        (f"{job}@1", f"{ABSENT['job']}@1", {**SCRIPT, "from_checkpoint": "X"}),
        ("theirs", "nothing", {**SCRIPT, "from_checkpoint": "X"}),
        (code, ABSENT["sha256"], {"script": "s.py", "snapshot": "X"}),
        (world.others["dataset"], "nothing", {**SCRIPT, "data": "X"}),
    ):
        for path in ("/jobs", "/jobs/plan"):
            answers = []
            for name in (theirs, absent):
                spec = {field: name if value == "X" else value for field, value in fields.items()}
                answers.append(await world.api.http.post(API_PREFIX + path, json=spec))
            if path == "/jobs/plan" and "from_checkpoint" in fields:
                continue  # a plan does not check the checkpoint
            same = with_name(answers[0], theirs.partition("@")[0], absent.partition("@")[0])
            assert (answers[0].status_code, same) == (answers[1].status_code, answers[1].text)
            assert answers[0].status_code in (404, 422)


async def test_a_rank_reads_checkpoints_of_its_own_job_and_its_origin_only(world: World) -> None:
    """Given a part that exists, then naming its job as the source is not enough: the rank's job must start from it."""
    root = f"{API_PREFIX}/jobs/{world.own['job']}/attempts/1/checkpoints/1/1/0"
    answers = [
        await world.api.http.get(root, params={"source": source}, headers=world.headers["rank"])
        for source in (world.others["job"], ABSENT["job"])
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text == answers[1].text
    assert (await world.api.http.get(root, headers=world.headers["rank"])).content == b"state"


async def test_an_answer_without_a_decision_is_a_defect_and_is_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a service that forgets to check access."""

    async def forgetful(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(world.api.server.checkpoints, "list_parts", forgetful)
    answer = await world.ask("GET /jobs/{job}/checkpoints/{step}", "owner", world.own)
    assert answer.status_code == 500


async def test_names_and_keys_are_unique_within_a_project(world: World) -> None:
    """Given a job of another project, then its name can be used here."""
    theirs = await world.api.submit(name="theirs")
    assert theirs["project"] == PROJECT
    assert theirs["id"] != world.others["job"]
