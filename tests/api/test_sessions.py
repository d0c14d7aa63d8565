"""Sessions of browsers: a cookie in place of a token, for the page of this server only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from headway.core.account import Session
from tests.api.conftest import SCRIPT, Api
from tests.api.test_accounts import a_user, bearer, done, refused
from tests.until import until

pytestmark = pytest.mark.anyio
HERE = {"Origin": "http://localhost:8420"}


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token, which keeps cookies."""
    async with httpx.AsyncClient(transport=api.http._transport, base_url=api.http.base_url, headers=HERE) as http:
        yield http


async def log_in(browser: httpx.AsyncClient, **by: str) -> httpx.Response:
    return await browser.post("/api/v1/session", json=by)


async def a_code(api: Api, headers: dict[str, str] | None = None) -> str:
    return str((await done(api, "POST", "/links", headers=headers))["path"]).partition("=")[2]


async def test_a_code_logs_a_browser_in_once(api: Api, browser: httpx.AsyncClient) -> None:
    """Given the code of a link, then a browser is its owner's, reads, changes and streams, until it logs out."""
    code = await a_code(api)
    entered = await log_in(browser, code=code)
    assert (entered.status_code, entered.json()["user"]) == (201, None)
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith("headway_session_8420=hws_s-")
    assert all(word in cookie.lower() for word in ("httponly", "samesite=strict", "path=/", "max-age=2592000"))
    assert (await browser.get("/api/v1/session")).json() == entered.json()
    assert (await browser.post("/api/v1/jobs", json=SCRIPT)).status_code == 201
    assert (await log_in(browser, code=code)).status_code == 401
    assert (await browser.delete("/api/v1/session")).status_code == 204
    assert not browser.cookies
    assert (await browser.get("/api/v1/session")).status_code == 401


async def test_a_token_logs_a_browser_in_with_what_the_token_allows(api: Api, browser: httpx.AsyncClient) -> None:
    """Given a session that a token to read opened, then it changes nothing, and is over when the token is revoked."""
    await a_user(api, "ann")
    made = await done(api, "POST", "/tokens", {"name": "r", "user": "ann", "scopes": ["read"], "days": 1})
    assert (await log_in(browser, token=made["text"])).json()["scopes"] == ["read"]
    assert (await browser.get("/api/v1/jobs")).status_code == 200
    assert (await browser.post("/api/v1/jobs", json=SCRIPT)).status_code == 403
    assert api.server.directory.sessions()[0].expires_at == made["expires_at"]
    await done(api, "DELETE", f"/tokens/{made['id']}")
    gone = await browser.get("/api/v1/jobs")
    assert (gone.status_code, "revoked" in gone.json()["detail"]) == (401, True)


async def test_a_session_by_the_homes_token_ends_with_it(api: Api, browser: httpx.AsyncClient) -> None:
    home = (api.server.settings.home / "user.token").read_text().strip()
    assert (await log_in(browser, token=home)).status_code == 201
    await done(api, "DELETE", f"/tokens/{api.server.tokens.read(home).caller.credential}")
    assert (await browser.get("/api/v1/jobs")).status_code == 401


async def test_what_is_no_login_opens_no_session(api: Api, browser: httpx.AsyncClient) -> None:
    """Given tokens of machines, a service account's, another session's cookie, or nothing, then no session opens."""
    join = (await done(api, "POST", "/tokens/join", {"name": "rack"}))["text"]
    robot = await a_user(api, "robot", service=True)
    worker = (await api.worker()).registered["token"]
    assert (await log_in(browser, code=await a_code(api))).status_code == 201
    cookie = next(iter(browser.cookies.values()))
    for by, status in (
        ({"token": join}, 403),
        ({"token": worker}, 403),
        ({"token": robot}, 403),
        ({"token": cookie}, 403),
        ({"token": "x"}, 401),
        ({"code": "x"}, 401),
        ({"code": "x", "token": "x"}, 422),
        ({}, 422),
        ({"code": ""}, 422),
        ({"password": "x"}, 422),
    ):
        answer = await log_in(browser, **by)
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, False), by
        assert cookie not in answer.text
    kept: list[dict[str, Any]] = []
    while not {"authenticate", "account.enter"} <= {one["action"] for one in kept}:
        kept = await done(api, "GET", "/audit")
    assert {"/api/v1/session", "the server's home"} <= {one["subject"] for one in kept}


async def test_a_cookie_changes_something_for_its_own_page_only(api: Api, browser: httpx.AsyncClient) -> None:
    """Given a session, then what changes something needs our Origin, and a token beside the cookie is refused."""
    await log_in(browser, code=await a_code(api))
    del browser.headers["Origin"]
    assert (await browser.get("/api/v1/jobs")).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE", "BREW"):
        assert (await browser.request(method, "/api/v1/jobs")).status_code == 403, method
    for origin in ("http://evil.example", "null", "http://localhost:8421"):
        assert (await browser.post("/api/v1/jobs", json=SCRIPT, headers={"Origin": origin})).status_code == 403
        assert (await browser.get("/api/v1/jobs", headers={"Origin": origin})).status_code == 403
    both = await browser.get("/api/v1/jobs", headers={"Authorization": api.http.headers["Authorization"]})
    assert (both.status_code, "Send one of them" in both.json()["detail"]) == (401, True)
    cookie = next(iter(browser.cookies.values()))
    assert (await refused(api, "GET", "/jobs", bearer(cookie)))[0] == 401
    other_port = {"Cookie": f"headway_session_8421={cookie}"}
    assert (await api.http.get("/api/v1/jobs", headers={"Authorization": "", **other_port})).status_code == 401


async def test_a_users_sessions_end_with_what_they_stand_on(api: Api, browser: httpx.AsyncClient) -> None:
    """Given Ann's session, when her sessions are ended, or she is disabled or deleted, then it holds no more."""
    await a_user(api, "ann")
    ann = api.server.directory.user_named("ann")
    assert ann is not None

    async def again() -> None:
        await log_in(browser, code=api.server.links.make(ann.uid))
        assert (await browser.get("/api/v1/session")).json()["user"]["name"] == "ann"

    for change in ({"end_sessions": True}, {"disabled": True}):
        await again()
        await done(api, "PATCH", "/users/ann", change)
        assert (await browser.get("/api/v1/session")).status_code == 401
    await done(api, "PATCH", "/users/ann", {"disabled": False})
    await again()
    await done(api, "DELETE", "/users/ann")
    assert (await browser.get("/api/v1/session")).status_code == 401
    assert api.server.directory.sessions() == []


async def test_a_stream_ends_when_its_browser_logs_out(api: Api) -> None:
    async with api.listening() as port:
        base = f"http://127.0.0.1:{port}"
        headers = {"Origin": base, "Accept": "text/event-stream"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as page:
            assert (await log_in(page, code=await a_code(api))).status_code == 201
            async with page.stream("GET", "/api/v1/events") as stream:
                assert stream.status_code == 200
                await until(lambda: bool(api.server.directory.sessions()))
                assert (await page.delete("/api/v1/session")).status_code == 204
                async for _ in stream.aiter_bytes():
                    pass


async def test_sessions_are_bounded_and_the_stored_ones_open_nothing(api: Api) -> None:
    """Given more logins than a user may have, then the oldest ends; what is stored is no cookie."""
    for _ in range(51):
        session, text = api.server.sessions.draw(None)
        await api.server.sessions.begin(session)
    kept = await api.server.backends.database.accounts(Session)
    assert len(kept) == 50
    assert text.partition(".")[2] not in "".join(one.model_dump_json() for one in kept)
