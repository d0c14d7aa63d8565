"""Passwords: set by an invitation, compared without a hint, limited, and good for a browser and a command line."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from headway.core.account import LoginFailures, User
from headway.server import login_limits
from headway.server.clock import Clock
from headway.server.directory import Directory
from headway.server.login_limits import LoginLimits, place_of
from headway.server.passwords import Passwords
from tests.api.conftest import SCRIPT, Api
from tests.api.test_accounts import a_user, bearer, done, refused

pytestmark = pytest.mark.anyio
PASSWORD = "correct horse battery"
NOBODY = {"Authorization": ""}
URL = "/api/v1/session"


class Later(Clock):
    later_seconds = 0.0

    def now(self) -> float:
        return super().now() + self.later_seconds


async def post(api: Api, path: str, **body: Any) -> httpx.Response:
    answer = await api.http.post(URL + path, json=body, headers=NOBODY)
    api.http.cookies.clear()
    return answer


async def invited(api: Api, name: str) -> str:
    return str((await done(api, "POST", f"/users/{name}/invitation"))["invitation"])


@pytest.fixture
async def ann(api: Api) -> User:
    """A user with a password."""
    await a_user(api, "ann")
    accepted = await post(api, "/tokens", invitation=await invited(api, "ann"), password=PASSWORD)
    assert accepted.status_code == 201, accepted.text
    user = api.server.directory.user_named("ann")
    assert user is not None
    return user


async def test_an_invitation_sets_a_password_once(api: Api) -> None:
    """Given an invitation, then it sets a password once, a newer one replaces it, and the password logs in."""
    await a_user(api, "ann")
    first, second = await invited(api, "ann"), await invited(api, "ann")
    assert (await post(api, "", invitation=first, password=PASSWORD)).status_code == 401
    short = await post(api, "", invitation=second, password="short")
    assert (short.status_code, "12 to 200" in short.json()["detail"]) == (422, True)
    assert "short" not in short.text
    entered = await post(api, "", invitation=second, password=PASSWORD)
    assert (entered.status_code, entered.json()["user"]["name"]) == (201, "ann")
    assert (await post(api, "", invitation=second, password=PASSWORD)).status_code == 401
    assert (await post(api, "", user="ann", password=PASSWORD)).status_code == 201
    stored = api.server.directory.user_named("ann")
    assert stored is not None
    assert (stored.password or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "password" not in json.dumps(await done(api, "GET", "/users"))


async def test_a_new_password_ends_the_sessions_before(api: Api, ann: User) -> None:
    tokens = (await post(api, "/tokens", user="ann", password=PASSWORD)).json()
    assert (await done(api, "GET", "/session", headers=bearer(tokens["token"])))["user"]["name"] == "ann"
    again = await post(api, "/tokens", invitation=await invited(api, "ann"), password="another " + PASSWORD)
    assert again.status_code == 201
    assert (await refused(api, "GET", "/session", bearer(tokens["token"])))[0] == 401
    assert (await post(api, "/renew", refresh_token=tokens["refresh_token"])).status_code == 401
    assert (await post(api, "", user="ann", password=PASSWORD)).status_code == 401


async def test_who_has_no_account_gets_the_answer_of_a_wrong_password(api: Api, ann: User) -> None:
    """Given no user, none with a password, a disabled one or a service, then the answer says the same."""
    await a_user(api, "bob")
    await a_user(api, "robot", service=True)
    await a_user(api, "carl")
    await post(api, "", invitation=await invited(api, "carl"), password=PASSWORD)
    await done(api, "PATCH", "/users/carl", {"disabled": True})
    answers = [
        await post(api, "", user=name, password=password)
        for name, password in (
            ("ann", "a wrong password"),
            ("nobody", PASSWORD),
            ("bob", PASSWORD),
            ("robot", PASSWORD),
            ("carl", PASSWORD),
            ("ANN", PASSWORD),
            ("\x00", PASSWORD),
        )
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
    assert (await refused(api, "POST", "/users/robot/invitation", dict(api.http.headers)))[0] == 403


async def test_a_hash_is_compared_also_where_there_is_none() -> None:
    """Given no hash, then the work of a comparison is done, and its result is no."""
    passwords = Passwords()
    stored = await passwords.hash("ﬁfteen letters")
    assert await passwords.matches("fifteen letters", stored), "keyboards write the same text in several forms"
    assert not await passwords.matches("fifteen letterz", stored)
    assert not await passwords.matches("no password", None)
    assert not await passwords.matches(PASSWORD, "not a hash")


async def test_wrong_passwords_are_limited_and_shut_no_known_address(api: Api, ann: User) -> None:
    """Given many wrong passwords, then no more are tried, not even the right one; a known address still gets in."""
    limits = api.server.login_limits
    for _ in range(login_limits.OF_ACCOUNT_AND_ADDRESS):
        assert (await post(api, "", user="ann", password="a wrong password")).status_code == 401
    full = await post(api, "", user="ann", password=PASSWORD)
    assert (full.status_code, full.json()["code"]) == (429, "too_many_requests")
    newest = ""
    while not newest.startswith("Too many wrong passwords"):
        newest = (await done(api, "GET", "/audit?limit=1"))[0]["detail"]
    for number in range(login_limits.OF_ACCOUNT):
        try:
            await limits.begin("zoe", f"10.0.0.{number}", known=False)
        except login_limits.TooManyRequests:
            break
    with pytest.raises(login_limits.TooManyRequests):
        await limits.begin("zoe", "10.9.9.9", known=False)
    await limits.begin("zoe", "10.9.9.9", known=True)
    assert (await post(api, "", code=api.server.links.make(ann.uid))).status_code == 201, "a link is not limited"


async def test_limits_outlive_the_server_and_end_by_time(api: Api) -> None:
    """Given a full counter, then another server on the database refuses, too, until a quarter of an hour is over."""
    clock = Later()
    database, tokens = api.server.backends.database, api.server.tokens
    for server in range(2):
        directory = Directory(database, clock)
        await directory.open()
        limits = LoginLimits(directory, tokens, clock)
        for _ in range(0 if server else login_limits.OF_ACCOUNT_AND_ADDRESS):
            await limits.begin("ann", "10.0.0.1", known=True)
        with pytest.raises(login_limits.TooManyRequests, match="Try again in 15 minutes"):
            await limits.begin("ann", "10.0.0.1", known=True)
    clock.later_seconds = login_limits.WINDOW_SECONDS
    await limits.begin("ann", "10.0.0.1", known=True)
    await limits.succeed("ann", "10.0.0.1", known=True)
    assert {one.count for one in await database.accounts(LoginFailures)} == {0}
    assert place_of("2001:db8::1") == place_of("2001:db8::2") != place_of("2001:db8:0:1::1")
    assert place_of("::ffff:10.0.0.1") == place_of("10.0.0.1") == "10.0.0.1"


async def test_a_token_to_renew_holds_once(api: Api, ann: User) -> None:
    """Given a login on a command line, when a used token renews again, then the whole session is over."""
    first = (await post(api, "/tokens", user="ann", password=PASSWORD)).json()
    assert 899 <= first["valid_seconds"] <= 900
    second = (await post(api, "/renew", refresh_token=first["refresh_token"])).json()
    job = await done(api, "POST", "/jobs", {**SCRIPT, "name": "mine"}, bearer(second["token"]))
    assert job["project"] == "vision"
    assert (await post(api, "/renew", refresh_token=first["refresh_token"])).status_code == 401
    for tokens in (first, second):
        assert (await refused(api, "GET", "/session", bearer(tokens["token"])))[0] == 401
        assert (await post(api, "/renew", refresh_token=tokens["refresh_token"])).status_code == 401


async def test_two_renewals_at_once_give_one(api: Api, ann: User) -> None:
    first = (await post(api, "/tokens", user="ann", password=PASSWORD)).json()
    both = await asyncio.gather(*[post(api, "/renew", refresh_token=first["refresh_token"]) for _ in range(2)])
    assert sorted(one.status_code for one in both) == [201, 401]


async def test_forged_and_old_tokens_do_not_hold(api: Api, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a JWT that is unsigned, changed, cut, of another key or 15 minutes old, then it is refused."""
    good = (await post(api, "/tokens", user="ann", password=PASSWORD)).json()["token"]
    head, claims, signature = good.split(".")

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    for forged in (
        f"{part({'alg': 'none'})}.{claims}.",
        f"{part({'alg': 'none'})}.{claims}.{signature}",
        f"{head}.{part({**said, 'exp': 2**40})}.{signature}",
        f"{head}.{claims}.{signature[:-2]}",
        f"{head}.{claims}.",
        good + good,
        f"{part({'alg': 'RS256'})}.{claims}.{signature}",
    ):
        assert (await refused(api, "GET", "/session", bearer(forged)))[0] == 401, forged
    assert (await refused(api, "GET", "/session", {**bearer(good), "Cookie": f"headway_session_8420={good}"}))[0] == 401
    later = api.server.clock.now() + 901
    monkeypatch.setattr(api.server.signer._clock, "now", lambda: later)
    assert "expired" in (await refused(api, "GET", "/session", bearer(good)))[1]
