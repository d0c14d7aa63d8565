"""Pages of other sites: they use no cookie, read no answer, and run nothing of ours."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from headway.server import http_protocol
from tests.api.conftest import SCRIPT, Api

pytestmark = pytest.mark.anyio
WITHOUT_TOKEN = {"Authorization": ""}


async def with_cookie(api: Api) -> None:
    """The client becomes a browser that has a session."""
    link = (await api.http.post("/api/v1/links")).json()
    api.http.headers.pop("Authorization")
    assert (await api.http.get(link["path"])).status_code == 303


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
async def test_a_page_of_another_site_uses_no_session(api: Api, method: str) -> None:
    """Given a browser with a session, when a foreign page sends any method, then it is refused.

    As in Ray's CVE-2026-27482, where DELETE from a foreign page was let through.
    """
    await with_cookie(api)
    for origin in ("http://evil.example", "null", "http://localhost:9999", "https://localhost:8420.evil.example"):
        answer = await api.http.request(method, "/api/v1/jobs", headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), origin


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8420", 200),
        ("127.0.0.1:8420", 200),
        ("[::1]:8420", 200),
        ("192.168.1.7:8420", 200),
        ("evil.example", 403),
        ("evil.example:8420", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[", 403),
    ],
)
async def test_a_name_that_is_not_ours_is_refused(api: Api, host: str, status: int) -> None:
    """Given a site whose name points to this machine, as in mlflow#17910 and #22095, then its session is refused."""
    await with_cookie(api)
    answer = await api.http.get("/api/v1/jobs", headers={"Host": host})
    assert answer.status_code == status
    assert (await api.http.get("/docs", headers={"Host": host})).status_code == status


async def test_workers_and_clients_may_use_any_name(api: Api) -> None:
    """Given a name that only the network knows, then a request with a token and a probe are answered."""
    assert (await api.http.get("/api/v1/jobs", headers={"Host": "head.cluster:8420"})).status_code == 200
    probe = {**WITHOUT_TOKEN, "Host": "head.cluster:8420"}
    assert (await api.http.get("/readyz", headers=probe)).status_code == 200


async def test_a_foreign_page_opens_no_websocket(api: Api) -> None:
    worker = await api.worker()
    async with api.listening() as port:
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                f"ws://127.0.0.1:{port}{worker.registered['broker']}",
                additional_headers={**worker.headers, "Origin": "http://evil.example"},
                proxy=None,
            )
        assert refused.value.response.status_code == 403


async def test_answers_tell_browsers_to_guess_and_run_nothing(api: Api) -> None:
    """Given an answer, an error, a file and a page, then none is shown in a frame, and data runs no script."""
    await api.http.post("/api/v1/jobs", json={**SCRIPT, "name": "mine"})
    for path, headers in (
        ("/api/v1/jobs", {}),
        ("/api/v1/jobs/none", {}),
        ("/api/v1/jobs", WITHOUT_TOKEN),
        ("/docs", WITHOUT_TOKEN),
    ):
        answer = await api.http.get(path, headers=headers)
        policy = answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy
        assert ("script-src" in policy) is (path == "/docs")


async def test_a_head_that_does_not_end_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given clients that send nothing, or half a request, then their connections are closed after ten seconds."""
    monkeypatch.setattr(http_protocol, "_HEAD_SECONDS", 0.05)
    async with api.listening() as port:
        for sent in (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
