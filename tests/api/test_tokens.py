"""Tokens have an id and an end. Tokens without an id keep working. All valid tokens are listed without their text."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer

from headway.core.checkpoint import CheckpointPart
from headway.server.access import Caller, CallerKind
from headway.server.tokens import for_rank, for_worker
from tests.api.conftest import Api

pytestmark = pytest.mark.anyio


def of_the_version_before(api: Api, *fields: Any) -> dict[str, str]:
    """An old token of four fields, without an id."""
    signed = URLSafeSerializer(api.server.tokens.secret, salt="headway.token.1").dumps(list(fields))
    return {"Authorization": f"Bearer hw_{signed}"}


async def listed(api: Api, kind: str) -> list[dict[str, Any]]:
    response = await api.http.get("/api/v1/tokens")
    assert response.status_code == 200
    return [one for one in response.json() if one["kind"] == kind]


async def test_tokens_are_listed_with_what_ends_them(api: Api) -> None:
    """Given a running job, then the list has the home's two tokens, the worker's, and that of the attempt's ranks."""
    job, worker = await api.placed(name="mine")
    (user,), (join,), (of_worker,), (of_rank,) = [
        await listed(api, kind) for kind in ("user", "join", "worker", "rank")
    ]
    for one in (user, join):
        assert one["id"].startswith("t-")
        assert one["made_at"] is not None
        assert (one["expires_at"], one["ends_with"]) == (None, None)
    assert (of_worker["id"], of_worker["worker"]) == (f"t-{worker.id}", worker.id)
    assert of_worker["ends_with"] == "registration"
    assert (of_rank["id"], of_rank["job"], of_rank["attempt"]) == (f"t-{job}-1", job, 1)
    assert of_rank["ends_with"] == "attempt"
    text = (api.server.settings.home / "user.token").read_text().strip()
    assert text not in (await api.http.get("/api/v1/tokens")).text


async def test_the_caller_knows_its_credential(api: Api) -> None:
    job, worker = await api.placed(name="mine")
    home = api.server.settings.home
    claimed = (await worker.claim(job)).json()
    texts = {worker.registered["token"]: f"t-{worker.id}", claimed["rank_token"]: f"t-{job}-1"}
    assert {text: api.server.callers.of(text).credential for text in texts} == texts
    (user,) = await listed(api, "user")
    assert api.server.callers.of((home / "user.token").read_text().strip()).credential == user["id"]


async def test_a_claim_that_is_repeated_gets_the_same_answer(api: Api) -> None:
    job, worker = await api.placed(name="mine")
    assert (await worker.claim(job)).json() == (await worker.claim(job)).json()


async def test_tokens_without_an_id_keep_working_and_are_listed(api: Api) -> None:
    """Given a token without an id of each kind, then it works, and the list shows that it has no id."""
    job, worker = await api.placed(name="mine")
    user, join = (
        of_the_version_before(api, "user", None, None, None),
        of_the_version_before(api, "join", None, None, None),
    )
    assert (await api.http.get("/api/v1/jobs", headers=user)).status_code == 200
    description = {"name": "two", "slots": 1, "threads_per_slot": 1, "host": "127.0.0.1", "port": 9}
    registered = await api.http.post("/api/v1/workers", json={"worker": description}, headers=join)
    assert registered.status_code == 201
    beat = {"counter": 0, "last_answer": -1}
    of_worker = of_the_version_before(api, "worker", worker.id, None, None)
    response = await api.http.post(f"/api/v1/workers/{worker.id}/heartbeat", json=beat, headers=of_worker)
    assert response.status_code == 200
    of_rank = of_the_version_before(api, "rank", None, job, 1)
    path = f"/api/v1/jobs/{job}/attempts/1/artifacts/x"
    assert (await api.http.put(path, content=b"x", headers=of_rank)).status_code == 201
    for kind, count in (("user", 2), ("join", 2), ("worker", 2), ("rank", 1)):
        tokens = await listed(api, kind)
        assert len(tokens) == count
        (old,) = [one for one in tokens if one["id"] is None]
        assert (old["made_at"], old["expires_at"]) == (None, None)
        assert old["used_at"] == pytest.approx(api.server.clock.now(), abs=60)


async def test_an_expired_token_is_refused_with_its_end_and_a_remedy(api: Api) -> None:
    """Given an expired token, then the answer is 401, names the token and its end, and says what to do."""
    token = api.server.tokens.make(Caller(CallerKind.USER, credential="t-old"), made_at=0, lifetime_seconds=86_400)
    response = await api.http.get("/api/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    assert (response.status_code, response.json()["code"]) == (401, "token_expired")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["detail"] == (
        "This user token (t-old) expired on 1970-01-02 00:00 UTC. Copy the current user.token from the server's "
        "home; in a browser, open a new link."
    )


async def test_a_ranks_token_ends_with_its_attempt(api: Api) -> None:
    """Given an attempt that has ended, then its ranks can no longer store or read, and the error says why."""
    job, worker = await api.placed(name="mine")
    part = CheckpointPart(attempt=1, step=1, rank=0, object_id="checkpoints/x", size_bytes=1, sha256="0" * 64)
    await api.server.backends.database.put_checkpoint_part(job, part)
    rank = api.headers(for_rank(job, 1))
    path = f"/api/v1/jobs/{job}/attempts/1"
    assert (await api.http.put(f"{path}/artifacts/x", content=b"x", headers=rank)).status_code == 201
    await api.server.workers.lose(worker.id, "the test says so")
    for method, name in (("PUT", "artifacts/x"), ("PUT", "checkpoints/1/0"), ("GET", "checkpoints/1/1/0")):
        response = await api.http.request(method, f"{path}/{name}", headers=rank)
        assert (response.status_code, response.json()["code"]) == (401, "token_expired")
        assert f"was for attempt 1 of job {job}, and expired with it" in response.json()["detail"]
    assert await listed(api, "rank") == []


async def test_a_workers_token_ends_with_its_registration(api: Api) -> None:
    """Given a lost worker, then its token is no longer valid, and the answer says to register again."""
    worker = await api.worker()
    path = f"/api/v1/blocks/{'0' * 64}"
    assert (await api.http.get(path, headers=worker.headers)).status_code == 404
    await api.server.workers.lose(worker.id, "the test says so")
    unknown = api.headers(for_worker("w-nobody"))
    for headers in (worker.headers, unknown):
        response = await api.http.get(path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (410, "worker_lost")
        assert response.json()["detail"].endswith("Register again.")
    assert await listed(api, "worker") == []


async def test_no_token_is_written_to_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        job, worker = await api.placed(name="mine")
        claimed = (await worker.claim(job)).json()
        await worker.heartbeat(0)
        forged = worker.registered["token"] + "x"
        await api.http.get("/api/v1/jobs", headers={"Authorization": f"Bearer {forged}"})
        await api.server.workers.lose(worker.id, "the test says so")
    home = api.server.settings.home
    texts = [worker.registered["token"], claimed["rank_token"], api.http.headers["Authorization"].split()[1]]
    texts += [(home / name).read_text().strip() for name in ("user.token", "worker.token", "secret")]
    assert not [text for text in texts if text in caplog.text]


async def test_a_browsers_token_ends_when_its_cookie_does(api: Api) -> None:
    path = (await api.http.post("/api/v1/links")).json()["path"]
    entered = await api.http.get(path, headers={"Authorization": ""})
    name, _, cookie = entered.headers["set-cookie"].partition(";")[0].partition("=")
    assert name == "headway_session_8420"
    assert api.server.sessions.valid(cookie).expires_at == pytest.approx(api.server.clock.now() + 30 * 86_400, abs=60)
