"""Jobs and events say who caused them: a user or a worker, and with which credential."""

from __future__ import annotations

import pytest

from headway.core.facts import RankStarted
from headway.server.tokens import for_worker
from tests.api.conftest import Api
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio


async def actors_of(api: Api, job: str) -> dict[str, dict[str, object] | None]:
    """The actors of the job's events, by event type, once all are stored."""
    last, found = (await api.server.jobs.by_id(job)).event_count, []
    while len(found) < last:
        found = (await api.http.get(f"/api/v1/jobs/{job}/events")).json()["events"]
    return {event["type"]: event["actor"] for event in found}


async def test_changes_by_a_user_name_the_user_and_the_credential(api: Api) -> None:
    job = (await api.submit(name="mine"))["id"]
    for verb in ("pause", "resume", "cancel"):
        assert (await api.http.post(f"/api/v1/jobs/mine/{verb}")).status_code == 200
    await api.http.patch("/api/v1/jobs/mine", json={"notes": "over"})
    user = (await api.http.get("/api/v1/jobs/mine")).json()["submitted_by"]
    assert (user["kind"], user["worker"]) == ("user", None)
    asked = ("job.submitted", "job.paused", "job.resumed", "job.cancel_requested", "job.cancelled", "job.described")
    assert await actors_of(api, job) == dict.fromkeys(asked, user)


async def test_facts_name_their_worker_and_changes_of_the_server_name_no_actor(api: Api) -> None:
    worker = await api.worker()
    job = (await api.submit(name="mine"))["id"]
    await eventually(api, "mine", "starting")
    await worker.run_to_the_end(job)
    await eventually(api, "mine", "succeeded")
    actors = await actors_of(api, job)
    by_worker = {"kind": "worker", "credential": "", "worker": worker.id, "user": None}
    assert actors["attempt.placed"] is None
    assert actors["attempt.started"] == by_worker
    assert actors["attempt.ended"] == by_worker


async def test_cancelling_names_the_user_and_the_end_names_the_worker(api: Api) -> None:
    worker = await api.worker()
    job = (await api.submit(name="mine"))["id"]
    await eventually(api, "mine", "starting")
    await worker.claim(job)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
    await api.http.post("/api/v1/jobs/mine/cancel")
    actors = await actors_of(api, job)
    by_user, by_worker = actors["job.cancel_requested"], actors["attempt.started"]
    assert by_user is not None
    assert by_user == actors["job.submitted"]
    assert by_worker is not None
    assert by_worker["worker"] == worker.id


async def test_who_drains_refuses_or_leaves_is_named_for_the_end_of_the_attempt(api: Api) -> None:
    async def attempt_ended_by(name: str) -> dict[str, object] | None:
        return (await actors_of(api, name))["attempt.ended"]

    (drained, worker), user = await api.placed(), (await api.http.get("/api/v1/jobs")).json()["jobs"][0]["submitted_by"]
    assert (await api.http.post(f"/api/v1/workers/{worker.id}/drain")).status_code == 200
    assert await attempt_ended_by(drained) == user
    await api.http.post(f"/api/v1/jobs/{drained}/cancel")

    refused, worker = await api.placed()
    path = f"/api/v1/workers/{worker.id}"
    itself = {"kind": "worker", "worker": worker.id, "credential": for_worker(worker.id).credential, "user": None}
    answer = await api.http.post(f"{path}/assignments/{refused}/1/refuse", headers=worker.headers)
    assert answer.status_code == 204
    assert await attempt_ended_by(refused) == itself
    assert (await api.http.delete(path, headers=worker.headers)).status_code == 204

    left, worker = await api.placed()
    assert (await api.http.delete(f"/api/v1/workers/{worker.id}", headers=worker.headers)).status_code == 204
    assert (await attempt_ended_by(left) or {})["worker"] == worker.id


async def test_describing_a_job_without_a_change_makes_no_event(api: Api) -> None:
    job = (await api.submit(name="mine", notes="same"))["id"]
    await api.http.patch("/api/v1/jobs/mine", json={"notes": "same"})
    assert set(await actors_of(api, job)) == {"job.submitted"}
