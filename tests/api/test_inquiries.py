"""Inquiries to running ranks."""

from __future__ import annotations

import asyncio

import pytest

from headway.core.facts import RankStarted
from tests.api.conftest import Api
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio


async def test_an_inquiry_to_a_job_that_does_not_run_is_a_conflict(api: Api) -> None:
    await api.submit(name="mine")
    for path, body in (("exec", {"command": ["ls"]}), ("stacks", None)):
        response = await api.http.post(f"/api/v1/jobs/mine/{path}", json=body)
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        assert response.json()["detail"] == "Rank 0 of job mine is not running: the job is queued."


async def test_an_inquiry_goes_out_with_the_heartbeat_and_its_answer_comes_back(api: Api) -> None:
    worker = await api.worker()
    job = await api.submit(name="mine")
    await eventually(api, "mine", "starting")
    await worker.claim(job["id"])
    await api.server.recorder.record([worker.a_report(job["id"], RankStarted(rank=0, pid=1))])
    asking = asyncio.create_task(api.http.post("/api/v1/jobs/mine/exec", json={"command": ["ls"]}))
    inquiries: list[dict[str, object]] = []
    while not inquiries:
        await asyncio.sleep(0.01)
        inquiries = (await worker.heartbeat(0)).json()["inquiries"]
    assert (inquiries[0]["command"], inquiries[0]["rank"]) == (["ls"], 0)
    path = f"/api/v1/workers/{worker.id}/inquiries/{inquiries[0]['id']}"
    other = (await api.worker()).headers
    assert (await api.http.post(path, json={"output": "x"}, headers=other)).status_code == 404
    answer = {"exit_code": 0, "output": "train.py\n"}
    assert (await api.http.post(path, json=answer, headers=worker.headers)).status_code == 204
    assert (await asking).json()["output"] == "train.py\n"
    assert (await api.http.post(path, json=answer, headers=worker.headers)).status_code == 404
    none = await api.http.post("/api/v1/jobs/mine/exec", json={"command": ["ls"], "rank": 7})
    assert (none.status_code, "its ranks are 0 to 0" in none.json()["detail"]) == (404, True)
