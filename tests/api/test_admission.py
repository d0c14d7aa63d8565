"""The caller is known before routing: without a token all paths get the same answer, over HTTP and WebSocket."""

from __future__ import annotations

import pytest
from starlette.routing import Mount, Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from headway.brokers.embedded import EmbeddedWorkerBroker
from headway.core.job import WakeUp
from headway.errors import NotAllowed, NotAuthenticated, NotFound, WorkerLost
from headway.server.access import Caller, CallerKind
from headway.server.api import health, links, page
from headway.server.api.admission import PUBLIC_FOLDER, PUBLIC_PATHS
from headway.server.api.page import is_of_page
from headway.server.app import create_app
from headway.server.tokens import for_worker
from tests.api.conftest import Api
from tests.until import until

pytestmark = pytest.mark.anyio
NOBODY = {"Authorization": ""}


def url(port: int, path: str) -> str:
    return f"ws://127.0.0.1:{port}{path}"


@pytest.mark.parametrize("token", ["", "Bearer nonsense"])
async def test_without_a_token_all_paths_look_alike(api: Api, token: str) -> None:
    """Given a path that exists, one that does not, or a wrong method, then the answer is the same 401."""
    job = (await api.submit())["id"]
    asked = [("GET", "/api/v1/jobs"), ("GET", f"/api/v1/jobs/{job}"), ("GET", "/api/v1/jobs/j-none")]
    asked += [("POST", "/api/v1/tokens"), ("BREW", "/api/v1/jobs"), ("GET", "/api/v1/none"), ("GET", "/api/v2/jobs")]
    asked += [
        ("GET", "/none"),
        ("POST", "/none"),
        ("GET", "/docs/none"),
        ("GET", "/api/v1/jobs/%00"),
        ("OPTIONS", "/x"),
    ]
    asked += [("GET", "/livez/"), ("GET", "/static-offline-docs")]
    answers = set()
    for method, path in asked:
        response = await api.http.request(method, path, headers={"Authorization": token})
        answers.add((response.status_code, response.text, response.headers["www-authenticate"]))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401


async def test_only_named_paths_are_public(api: Api) -> None:
    """Given every route of the application, then those outside of the API are the named ones."""
    routes = [*create_app(api.server).routes, *health.router.routes, *links.front_router.routes]
    routes += page.router.routes
    paths = {route.path for route in routes if isinstance(route, Route | Mount)}
    assert {path for path in paths if not is_of_page(path)} == {*PUBLIC_PATHS, PUBLIC_FOLDER.rstrip("/")}


async def test_public_pages_answer_head_as_get_without_a_body(api: Api) -> None:
    for path in [*sorted(PUBLIC_PATHS - {"/enter"}), f"{PUBLIC_FOLDER}favicon.png"]:
        shown, head = [await api.http.request(method, path, headers=NOBODY) for method in ("GET", "HEAD")]
        assert head.status_code == shown.status_code in (200, 307), path
        assert head.headers.get("content-length") == shown.headers.get("content-length")
        assert head.headers.get("content-type") == shown.headers.get("content-type")
        assert head.content == b""
    assert (await api.http.request("POST", "/docs", headers=NOBODY)).status_code == 405
    assert (await api.http.get("/enter", params={"code": "x"}, headers=NOBODY)).status_code == 401


async def test_a_handshake_without_a_token_is_refused_whatever_its_path(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await api.worker()
    async with api.listening() as port:
        for path in (worker.registered["broker"], "/api/v1/workers/w-none/broker", "/none"):
            for headers in ({}, {"Authorization": "Bearer forged"}):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(url(port, path), additional_headers=headers, proxy=None)
                assert refused.value.response.status_code == 401
                assert b"not_authenticated" in (refused.value.response.body or b"")
    assert caplog.text == ""


async def test_a_worker_understands_why_its_handshake_is_refused(api: Api) -> None:
    """Given a forged token, another worker's, or one that ended with its registration, then the error says which."""
    worker, other = await api.worker(), await api.worker()
    async with api.listening() as port:
        path = url(port, worker.registered["broker"])
        for token, error in (("forged", NotAuthenticated), (other.registered["token"], NotFound)):
            with pytest.raises(error):
                await EmbeddedWorkerBroker(path, token).open()
        user = api.server.tokens.make(Caller(CallerKind.USER))
        with pytest.raises(NotAllowed):
            await EmbeddedWorkerBroker(path, user).open()
        await api.server.workers.lose(worker.id, "the test says so")
        with pytest.raises(WorkerLost, match="Register again"):
            await EmbeddedWorkerBroker(path, worker.registered["token"]).open()


async def test_a_worker_with_its_token_has_its_broker(api: Api) -> None:
    worker = await api.worker()
    async with api.listening() as port:
        token = api.server.tokens.make(for_worker(worker.id))
        broker = EmbeddedWorkerBroker(url(port, worker.registered["broker"]), token)
        await broker.open()
        wakeup = WakeUp(worker=worker.id, job="j-x", attempt=1)
        await until(lambda: worker.id in api.server.backends.embedded._wakeups)
        await api.server.backends.embedded.publish_wakeup(wakeup)
        assert await broker.wakeup() == wakeup
        await broker.close()
