"""Requests of attackers, each with the refusal that it gets. Many are named after the hole that another tool had."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from headway.server.server import Server
from headway.settings import Settings
from tests.api.conftest import SCRIPT, opened
from tests.api.world import World, a_world

pytestmark = pytest.mark.anyio
API = "/api/v1"
EVIL = {"Origin": "http://evil.example"}
HERE = {"Origin": "http://localhost:8420"}


class Attack(NamedTuple):
    """A request, and the only status that it may get. `who`: a caller of the world, a `browser` with a session, or no
    one.
    """

    name: str
    who: str
    method: str
    path: str
    status: int
    body: Any = None
    headers: dict[str, str] = {}


def from_other_pages() -> Iterator[Attack]:
    """Pages of other sites, in a browser with an administrator's session."""
    yield Attack("Ray CVE-2026-27482: DELETE by a foreign page", "browser", "DELETE", "/jobs/mine", 403, headers=EVIL)
    for method, path in (("POST", "/jobs"), ("PUT", "/users/member/roles/default"), ("PATCH", "/jobs/mine")):
        yield Attack(f"{method} by a foreign page", "browser", method, path, 403, {}, EVIL)
    for origin in ("null", "http://localhost:9999", "http://localhost:8420.evil.example", "file://"):
        yield Attack(f"Origin {origin}", "browser", "POST", "/jobs", 403, SCRIPT, {"Origin": origin})
        yield Attack(f"reading with Origin {origin}", "browser", "GET", "/jobs", 403, headers={"Origin": origin})
    yield Attack("a form of another site sends no Origin", "browser", "POST", "/jobs", 403, SCRIPT)
    plain = {"Content-Type": "text/plain"}
    yield Attack("a form whose text is JSON", "browser", "POST", "/jobs/mine/cancel", 403, headers=plain)
    yield Attack("logging the user out", "browser", "DELETE", "/session", 403, headers=EVIL)
    for host in ("evil.example", "evil.example:8420", "localhost.evil.example", "127.0.0.1.evil.example:8420"):
        name = f"mlflow#17910 and #22095: Host {host}"
        yield Attack(name, "browser", "GET", "/jobs", 403, headers={"Host": host})
        yield Attack(f"{name}, its own Origin", "no one", "POST", "/session", 403, {"code": "x"}, {"Host": host})


def without_a_token() -> Iterator[Attack]:
    """Strangers: no family of routes is forgotten, as it was in MLflow's CVE-2026-0545."""
    for method, path in (
        ("GET", "/jobs"),
        ("POST", "/jobs"),
        ("POST", "/jobs/mine/exec"),
        ("GET", "/jobs/mine/logs"),
        ("GET", "/jobs/mine/artifacts/model.pt"),
        ("GET", "/events"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("POST", "/users/admin/invitation"),
        ("GET", "/tokens"),
        ("GET", "/audit"),
        ("GET", "/damaged"),
        ("GET", "/datasets"),
        ("PUT", f"/blocks/{'0' * 64}"),
        ("GET", "/workers"),
        ("POST", "/workers"),
        ("GET", "/session"),
        ("GET", "/session/tokens"),
        ("PUT", "/session"),
        ("GET", "/nothing"),
        ("GET", "/..%2f..%2fjobs"),
        ("GET", "//jobs"),
    ):
        yield Attack(f"MLflow CVE-2026-0545: {method} {path}", "no one", method, path, 401)


def with_forged_tokens() -> Iterator[Attack]:
    """Tokens that this installation did not make, or that are for something else."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = part({"aud": "headway", "sub": "", "sid": "s-aaaaaaaaaaaa", "exp": 2**40})
    basic = base64.b64encode(b"admin:password1234").decode()
    for name, said in (
        ("MLflow: the password of the documentation", f"Basic {basic}"),
        ("alg none", f"Bearer {part({'alg': 'none'})}.{claims}."),
        ("an unsigned JWT", f"Bearer {part({'alg': 'HS256'})}.{claims}."),
        ("a JWT whose key is a URL", f"Bearer {part({'alg': 'RS256', 'jku': 'http://evil.example/k'})}.{claims}.x"),
        ("a pickle", "Bearer hw_gASVAAAAAAAAAAA.x"),
        ("an empty token", "Bearer "),
        ("a made-up personal token", "Bearer hwp_t-of-member.x"),
        ("a made-up session", "Bearer hws_s-aaaaaaaaaaaa.x"),
        ("a token to renew", "Bearer hwr_x.y"),
        ("a very long token", "Bearer " + "x" * 20_000),
    ):
        yield Attack(name, "no one", "GET", "/jobs", 401, headers={"Authorization": said})
    for name, body in (
        ("a guessed code", {"code": "x"}),
        ("a guessed invitation", {"invitation": "n-aaaaaaaaaaaa.x", "password": "correct horse"}),
        ("a user without a password", {"user": "admin", "password": "password1234"}),
        ("a user that does not exist", {"user": "' OR 1=1 --", "password": "password1234"}),
    ):
        yield Attack(name, "no one", "POST", "/session", 401, body)
    yield Attack("making oneself an administrator", "no one", "POST", "/session", 422, {"code": "x", "admin": True})
    yield Attack("a forged renewal", "no one", "POST", "/session/renew", 401, {"refresh_token": "hwr_x.y"})
    for who in ("join", "worker", "rank"):
        yield Attack(f"a {who} token reads jobs", who, "GET", "/jobs", 403)
        yield Attack(f"a {who} token opens a session", who, "POST", "/links", 403)
    yield Attack("a rank deletes its job", "rank", "DELETE", "/jobs/mine", 403)


def by_members(world: World) -> Iterator[Attack]:
    """Users who want more than their role."""
    theirs, code = world.others["job"], world.others["sha256"]
    for method, path, body in (
        ("GET", f"/jobs/{theirs}", None),
        ("GET", f"/jobs/{theirs}/logs", None),
        ("GET", f"/jobs/{theirs}/metrics", None),
        ("GET", f"/jobs/{theirs}/events", None),
        ("GET", f"/jobs/{theirs}/artifacts/model.pt", None),
        ("GET", f"/jobs/{theirs}/checkpoints", None),
        ("POST", f"/jobs/{theirs}/exec", {"command": ["id"]}),
        ("POST", f"/jobs/{theirs}/stacks", None),
        ("POST", f"/jobs/{theirs}/cancel", None),
        ("POST", f"/jobs/{theirs}/rerun", {}),
        ("PATCH", f"/jobs/{theirs}", {}),
        ("DELETE", f"/jobs/{theirs}", None),
        ("GET", f"/snapshots/{code}", None),
        ("GET", "/datasets/their-data", None),
        ("GET", "/jobs?project=other", None),
        ("POST", "/jobs?project=other", SCRIPT),
        ("GET", "/events?project=other", None),
    ):
        yield Attack(f"kubeflow/pipelines#9889: {method} {path}", "member", method, path, 404, body)
    for method, path, body in (
        ("POST", "/jobs", SCRIPT),
        ("POST", "/jobs/mine/cancel", None),
        ("POST", "/jobs/mine/exec", {"command": ["id"]}),
        ("POST", "/jobs/mine/stacks", None),
        ("PATCH", "/jobs/mine", {}),
        ("DELETE", "/jobs/mine", None),
        ("POST", "/datasets/missing", []),
    ):
        for who in ("viewer", "token"):
            yield Attack(f"MLflow GHSA-3p64-6gvh-82v5: a {who} sends {method} {path}", who, method, path, 403, body)
    for method, path, body in (
        ("POST", "/users", {"name": "mine", "admin": True}),
        ("PATCH", "/users/member", {"admin": True}),
        ("PUT", "/users/member/roles/other", {"role": "member"}),
        ("POST", "/users/admin/invitation", None),
        ("DELETE", "/users/admin", None),
        ("POST", "/projects", {"name": "mine"}),
        ("POST", "/tokens/join", {"name": "mine"}),
        ("GET", "/audit", None),
        ("GET", "/damaged", None),
        ("POST", "/workers/one/drain", None),
    ):
        yield Attack(f"a member administrates: {method} {path}", "member", method, path, 403, body)
    yield Attack("a token of another", "member", "POST", "/tokens", 404, {"name": "x", "user": "admin"})
    yield Attack("a token makes a token", "token", "POST", "/tokens", 403, {"name": "x"})
    yield Attack("a token revokes another's", "member", "DELETE", "/tokens/t-of-admin", 404)


def with_odd_contents() -> Iterator[Attack]:
    """Paths, bodies and fields that read files, reach addresses, run code or exhaust the server."""
    for name in (
        "..%252f..%252fuser.token",
        "%252e%252e%252fuser.token",
        "..%2f..%2f..%2fuser.token",
        "%2fetc%2fpasswd",
    ):
        path = f"/jobs/mine/artifacts/{name}"
        yield Attack(f"MLflow CVE-2024-1560: {path}", "member", "GET", path, 404)
    for folder in ("assets", "static-offline-docs"):
        path = f"/../../{folder}/..%2f..%2f..%2fsettings.py"
        yield Attack(f"a file beside the page's: {path}", "no one", "GET", path, 404)
    yield Attack("a NUL character", "member", "GET", "/jobs/mine%00", 422)
    yield Attack("a job of another project's name", "member", "POST", "/jobs", 422, {**SCRIPT, "project": "other"})
    for field in ("id", "submitted_by", "status", "idempotency_key"):
        yield Attack(f"a field that is not a user's: {field}", "member", "POST", "/jobs", 422, {**SCRIPT, field: "x"})
    image = {"name": "x", "url": "http://169.254.169.254/latest/meta-data"}
    yield Attack("CVE-2026-64849: a URL to fetch", "member", "POST", "/datasets", 422, image)
    yield Attack(
        "ClearML CVE-2024-24590: a pickle as a dataset", "member", "PUT", f"/blocks/{'0' * 64}", 422, b"\x80\x04."
    )
    yield Attack("MLflow CVE-2025-0453: a huge batch", "member", "GET", "/jobs?limit=1000000000", 422)
    deep = b'{"parameters":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    yield Attack("JSON of many levels", "member", "POST", "/jobs", 422, deep)
    yield Attack("a huge number", "member", "POST", "/jobs", 422, {**SCRIPT, "world_size": 10**30})
    yield Attack("a huge body", "member", "POST", "/jobs", 413, b'"' + b"x" * (9 << 20) + b'"')
    yield Attack("a huge body to log in", "no one", "POST", "/session", 413, b'"' + b"x" * (1 << 20) + b'"')
    yield Attack(
        "a pattern that never ends", "member", "POST", "/jobs", 422, {**SCRIPT, "metrics": {"x": "(?=a)(a+)+$"}}
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    patient = Settings(home=tmp_path / "home", lease_seconds=1e6, stop_timeout_seconds=1e6)
    async with opened(Server(patient)) as api:
        yield await a_world(api)


async def sent(world: World, attack: Attack, cookie: str) -> httpx.Response:
    """The answer to an attack."""
    headers = {"Content-Type": "application/json", "Authorization": ""}
    if attack.who == "browser":
        headers["Cookie"] = cookie
    elif attack.who != "no one":
        headers |= world.headers[attack.who]
    content = attack.body if isinstance(attack.body, bytes) else json.dumps(attack.body).encode()
    request = world.api.http.build_request(
        attack.method,
        "http://localhost:8420" + API + attack.path,
        content=content if attack.body is not None else None,
        headers={**headers, **attack.headers},
    )
    return await world.api.http.send(request)


async def test_each_attack_is_refused(world: World) -> None:
    """Given two projects, users of each role and a job at work, then every attack is refused, and changes nothing."""
    session, text = world.api.server.sessions.draw(None)
    await world.api.server.sessions.begin(session)
    cookie = f"headway_session_8420={text}"
    attacks = [
        *from_other_pages(),
        *without_a_token(),
        *with_forged_tokens(),
        *by_members(world),
        *with_odd_contents(),
    ]
    assert len(attacks) >= 130
    before = {job["id"]: job["status"] for job in (await world.api.http.get(f"{API}/jobs")).json()["jobs"]}
    wrong = []
    for attack in attacks:
        answer = await sent(world, attack, cookie)
        if answer.status_code != attack.status or "set-cookie" in answer.headers or "Traceback" in answer.text:
            wrong.append((attack.name, attack.status, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    after = {job["id"]: job["status"] for job in (await world.api.http.get(f"{API}/jobs")).json()["jobs"]}
    assert after == before
    own = {"Cookie": cookie, "Authorization": "", **HERE}
    assert (await world.api.http.get(f"{API}/session", headers=own)).status_code == 200, "the session still holds"
    assert {one["name"] for one in (await world.api.http.get(f"{API}/users")).json() if one["admin"]} == {"admin"}
