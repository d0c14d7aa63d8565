"""Every route needs a token, and a token is bound to its worker, job and attempt."""

from __future__ import annotations

import stat

import pytest

from headway.server.app import API_PREFIX, create_app, guarded_routes
from headway.server.tokens import for_rank
from tests.api.conftest import Api

pytestmark = pytest.mark.anyio


LOGGING_IN = {("POST", f"{API_PREFIX}/session{path}") for path in ("", "/tokens", "/renew")}
"""The routes by which one gets credentials."""


def routes_with_names_filled_in() -> list[tuple[str, str]]:
    """Method and path of every route that needs a token."""
    found = []
    for route in guarded_routes():
        names = {"job": "j-mine", "attempt": "1", "worker": "w-mine", "name": "x", "sha256": "0" * 64}
        names |= {"assigned_job": "j-mine", "assigned_attempt": "1", "inquiry": "q-x", "dataset": "x"}
        names |= {"step": "1", "rank": "0", "from_attempt": "1", "kind": "jobs", "row": "x"}
        names |= {"user": "x", "project": "x", "token": "x", "channel": "l-x"}
        path = API_PREFIX + route.path_format.format(**names)
        found += [(method, path) for method in route.methods]
    return found


async def test_every_route_is_in_the_walk(api: Api) -> None:
    documented = (await api.http.get("/openapi.json")).json()["paths"]
    walked = {API_PREFIX + route.path_format for route in guarded_routes()}
    assert set(documented) - walked == {"/livez", "/readyz", "/health", "/version"}


async def test_every_route_is_closed_without_credentials(api: Api) -> None:
    routes = [one for one in routes_with_names_filled_in() if one not in LOGGING_IN]
    assert len(routes) >= 20
    for method, path in routes:
        for header in (
            "",
            "Bearer ",
            "Bearer nonsense",
            "Basic eDp5",
            "Bearer hw_WyJ1c2VyIl0.forged",
        ):
            response = await api.http.request(method, path, headers={"Authorization": header})
            assert response.status_code == 401, (method, path, header)
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["www-authenticate"] == "Bearer"


async def test_tokens_are_bound_to_their_worker_job_and_attempt(api: Api) -> None:
    job, worker = await api.placed()
    other_job, other = await api.placed()
    beat = {"counter": 0, "last_answer": -1}
    response = await api.http.post(f"/api/v1/workers/{worker.id}/heartbeat", json=beat, headers=other.headers)
    assert response.status_code == 404  # the same as for a worker that does not exist
    rank = api.headers(for_rank(job, 1))
    for asked, attempt, status in ((other_job, 1, 404), (job, 2, 404), (job, 1, 201)):
        path = f"/api/v1/jobs/{asked}/attempts/{attempt}/artifacts/x"
        response = await api.http.put(path, content=b"x", headers=rank)
        assert response.status_code == status, (asked, attempt)


async def test_health_and_documentation_are_open_and_work_offline(api: Api) -> None:
    for path in ("/livez", "/readyz", "/health", "/version", "/docs", "/openapi.json"):
        response = await api.http.get(path, headers={"Authorization": ""})
        assert response.status_code == 200, path
    page = (await api.http.get("/docs")).text
    assert "https://" not in page


async def test_secrets_are_readable_by_their_owner_only(api: Api) -> None:
    home = api.server.settings.home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for name in ("secret", "user.token", "worker.token"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


async def test_a_route_without_access_rules_stops_the_start(api: Api) -> None:
    from fastapi import APIRouter

    from headway.server.api import trainers

    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten() -> None: ...

    original = trainers.router
    trainers.router = router
    try:
        with pytest.raises(RuntimeError, match="/forgotten does not say who may use it"):
            create_app(api.server)
    finally:
        trainers.router = original
