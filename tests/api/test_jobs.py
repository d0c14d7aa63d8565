"""Jobs over HTTP: submitting, listing, cancelling, deleting, and their errors."""

from __future__ import annotations

import asyncio

import pytest

from headway.core.facts import RankEnded, RankFinished, RankStarted, Released
from tests.api.conftest import SCRIPT, Api

pytestmark = pytest.mark.anyio


async def test_a_submitted_job_is_queued_and_says_why(api: Api) -> None:
    job = await api.submit(name="first")
    shown = (await api.http.get("/api/v1/jobs/first")).json()
    assert shown["id"] == job["id"]
    assert shown["status"] == "queued"
    assert shown["sentence"].startswith("No worker is connected.")


async def test_the_same_key_and_body_is_the_same_job(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await api.http.post("/api/v1/jobs", json=SCRIPT, headers=headers)
    again = await api.http.post("/api/v1/jobs", json=SCRIPT, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = await api.http.post("/api/v1/jobs", json={**SCRIPT, "world_size": 2}, headers=headers)
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_key_reused"
    assert len((await api.http.get("/api/v1/jobs")).json()["jobs"]) == 1


async def test_simultaneous_submissions_with_one_key_make_one_job(api: Api) -> None:
    posts = [api.http.post("/api/v1/jobs", json=SCRIPT, headers={"Idempotency-Key": "k"}) for _ in range(20)]
    answers = await asyncio.gather(*posts)
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]


async def test_the_key_survives_the_jobs_deletion_and_the_name_is_free(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {**SCRIPT, "name": "mine"}
    job = (await api.http.post("/api/v1/jobs", json=body, headers=headers)).json()
    assert (await api.http.delete("/api/v1/jobs/mine")).status_code == 409  # it has not ended
    await api.http.post("/api/v1/jobs/mine/cancel")
    assert (await api.http.delete("/api/v1/jobs/mine")).status_code == 204
    assert (await api.http.get("/api/v1/jobs/mine")).status_code == 404
    again = await api.http.post("/api/v1/jobs", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    assert (await api.submit(name="mine"))["id"] != job["id"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "give one of trainer, script, module and command"),
        ({"trainer": "cnn"}, "trainer cnn needs a dataset"),
        ({"trainer": "cnx", "dataset": "digits"}, "Trainer cnx does not exist. Did you mean cnn? There are: mlp"),
        ({"trainer": "cnn", "dataset": "nope"}, "Dataset nope does not exist. There are: digits, mnist."),
        ({"trainer": "cnn", "dataset": "digits", "parameters": {"x": 1}}, "Trainer cnn has no parameter x."),
        ({**SCRIPT, "world_size": 0}, "world_size: 0 is too small; give a number from 1 to 10,000"),
        ({**SCRIPT, "wolrd_size": 1}, "wolrd_size: there is no such field. Did you mean world_size?"),
        (
            {**SCRIPT, "name": "No Spaces"},
            "name: 'No Spaces' is not allowed as a name",
        ),
        ({"script": "../../etc/x", "source": ""}, "script is '../../etc/x': give a path inside"),
        ({"script": "a.py"}, "a script needs either its source or a snapshot"),
        ({**SCRIPT, "command": ["x"]}, "give one of trainer, script, module and command"),
        ({**SCRIPT, "parameters": {"rank": 1}}, "parameter rank would replace RANK, which Headway sets"),
        ({**SCRIPT, "parameters": {"path": "/"}}, "parameter path would replace the variable PATH"),
        ({**SCRIPT, "variables": {"1x": "1"}}, "variable 1x cannot be a variable"),
        ({**SCRIPT, "outputs": ["../*"]}, "outputs is '../*': give a path inside"),
        ({**SCRIPT, "metrics": {"loss": "loss=("}}, "The pattern of metric loss is not a valid regular expression"),
        ({**SCRIPT, "metrics": {"loss": "loss=.*"}}, "The pattern of metric loss has no group"),
        ({**SCRIPT, "environment": {"lock": "requirements.txt"}}, "so a snapshot of it is needed"),
        ({**SCRIPT, "labels": {"a b": "c"}}, "label a b=c is not allowed"),
        ({**SCRIPT, "data": "nope"}, "Dataset nope does not exist. There are: digits, mnist."),
        ({**SCRIPT, "world_size": 10_001}, "world_size: 10001 is too large; give a number from 1 to 10,000"),
        ({**SCRIPT, "timeout_seconds": 0}, "timeout_seconds: 0 is too small; give a number above 0"),
        ({**SCRIPT, "source": "x" * 65_537}, "source: it has 65,537 characters; 65,536 are allowed"),
    ],
)
async def test_a_bad_spec_is_refused_and_changes_nothing(api: Api, body: dict[str, object], words: str) -> None:
    response = await api.http.post("/api/v1/jobs", json=body)
    assert response.status_code == 422
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert words in problem["detail"]
    assert problem["status"] == 422
    assert (await api.http.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_taken_name_is_a_conflict(api: Api) -> None:
    await api.submit(name="mine")
    response = await api.http.post("/api/v1/jobs", json={**SCRIPT, "name": "mine"})
    assert (response.status_code, response.json()["code"]) == (409, "name_taken")


async def test_pages_follow_each_other(api: Api) -> None:
    for number in range(5):
        await api.submit(name=f"job{number}")
    names = []
    cursor = None
    while True:
        page = (
            await api.http.get("/api/v1/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        names.append([job["name"] for job in page["jobs"]])
        cursor = page["next"]
        if cursor is None:
            break
    assert names == [["job4", "job3"], ["job2", "job1"], ["job0"]]


async def test_cancelling_twice_and_too_late(api: Api) -> None:
    await api.submit(name="mine")
    assert (await api.http.post("/api/v1/jobs/mine/cancel")).json()["status"] == "cancelled"
    late = await api.http.post("/api/v1/jobs/mine/cancel")
    assert late.status_code == 409
    assert late.json()["detail"] == "Job mine is already cancelled, so it cannot be cancelled."


async def test_a_job_runs_through_a_worker_that_speaks_the_protocol(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit(name="mine")
    await eventually(api, "mine", "starting")
    listed = (await worker.heartbeat(0)).json()
    assert listed["assignments"] == [
        {
            "job": job["id"],
            "attempt": 1,
            "state": "offered",
            "ready": False,
            "finished": False,
            "kill": False,
            "saves": False,
            "stacks": False,
        }
    ]
    await worker.run_to_the_end(job["id"], lines=("hello",))
    shown = await eventually(api, "mine", "succeeded")
    assert shown["reason"] == "completed"


async def test_claims_are_refused_when_the_job_is_stopping(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit()
    await eventually(api, job["id"], "starting")
    await api.http.post(f"/api/v1/jobs/{job['id']}/cancel")
    response = await worker.claim(job["id"])
    assert (response.status_code, response.json()["code"]) == (409, "claim_refused")


async def test_a_claim_may_be_repeated(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit()
    await eventually(api, job["id"], "starting")
    first, second = await worker.claim(job["id"]), await worker.claim(job["id"])
    assert first.status_code == second.status_code == 200
    assert {**first.json(), "rank_token": ""} == {**second.json(), "rank_token": ""}


async def test_a_stale_attempts_facts_are_refused(api: Api) -> None:
    """Given a lost worker that comes back, then its facts about the old attempt change nothing."""
    worker = await api.worker()
    job = await api.submit()
    await eventually(api, job["id"], "starting")
    await worker.claim(job["id"])
    await api.server.recorder.record([worker.a_report(job["id"], RankStarted(rank=0, pid=1), lines=("before",))])
    await api.server.workers.lose(worker.id, "the test says so")
    second = await api.worker()
    shown = await eventually(api, job["id"], "starting")
    assert shown["attempt"]["number"] == 2
    zombie = (RankFinished(rank=0), RankEnded(rank=0, at=1.0, exit_code=0, finished=True), Released())
    await api.server.recorder.record([worker.a_report(job["id"], *zombie, lines=("after",), last=True)])
    shown = (await api.http.get(f"/api/v1/jobs/{job['id']}")).json()
    assert (shown["status"], shown["attempt"]["number"]) == ("starting", 2)
    assert (await worker.heartbeat(1)).status_code == 410
    assert (await worker.claim(job["id"])).status_code == 410
    second.numbers = 0
    assert (await second.claim(job["id"], 2)).status_code == 200
    lines = (await api.http.get(f"/api/v1/jobs/{job['id']}/logs")).json()["lines"]
    assert [line["text"] for line in lines] == ["before", "after"]  # its streams count, under their own attempt


async def test_artifacts_are_stored_by_the_current_attempt_only(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit()
    await eventually(api, job["id"], "starting")
    rank = {"Authorization": f"Bearer {(await worker.claim(job['id'])).json()['rank_token']}"}
    path = f"/api/v1/jobs/{job['id']}/attempts/1/artifacts/model.pt"
    stored = await api.http.put(path, content=b"weights", headers=rank)
    assert stored.status_code == 201
    bad = await api.http.put(path.replace("model.pt", "..%2Fx"), content=b"x", headers=rank)
    assert bad.status_code in (404, 422)
    await api.server.workers.lose(worker.id, "the test says so")
    late = await api.http.put(path, content=b"weights", headers=rank)
    assert (late.status_code, late.json()["code"]) == (401, "token_expired")


async def eventually(api: Api, job: str, status: str) -> dict[str, object]:
    for _ in range(200):
        shown = (await api.http.get(f"/api/v1/jobs/{job}")).json()
        if shown["status"] == status:
            return shown
        await asyncio.sleep(0.02)
    raise AssertionError(f"{job} is {shown['status']}, not {status}: {shown['sentence']}")
