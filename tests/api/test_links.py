"""Links that open the API in a browser."""

from __future__ import annotations

import pytest

from headway.server.clock import Clock
from tests.api.conftest import SCRIPT, Api

pytestmark = pytest.mark.anyio


async def test_a_link_opens_once_and_sets_a_cookie(api: Api) -> None:
    link = (await api.http.post("/api/v1/links")).json()
    api.http.headers.pop("Authorization")
    opened = await api.http.get(link["path"])
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert "samesite=strict" in opened.headers["set-cookie"].lower()
    assert (await api.http.get("/api/v1/jobs")).status_code == 200
    assert (await api.http.get(link["path"])).status_code == 401
    elsewhere = {"Origin": "http://evil.example"}
    assert (await api.http.post("/api/v1/jobs", json=SCRIPT, headers=elsewhere)).status_code == 403
    here = {"Origin": "http://localhost:8420"}
    assert (await api.http.post("/api/v1/jobs", json=SCRIPT, headers=here)).status_code == 201


async def test_a_link_expires_after_ten_minutes(api: Api) -> None:
    class Later(Clock):
        def monotonic(self) -> float:
            return super().monotonic() + 601

    link = (await api.http.post("/api/v1/links")).json()
    api.server.links._clock = Later()
    assert (await api.http.get(link["path"])).status_code == 401
