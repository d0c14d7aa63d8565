"""Jobs before they run: plans, reruns, and why they wait."""

from __future__ import annotations

import asyncio

import pytest

from headway.core.job import Job
from headway.core.status import JobStatus
from tests.api.conftest import PROJECT, SCRIPT, Api

pytestmark = pytest.mark.anyio


async def test_a_plan_says_where_a_job_would_run_and_stores_nothing(api: Api) -> None:
    waits = await api.http.post("/api/v1/jobs/plan", json={**SCRIPT, "world_size": 2})
    assert waits.json() == {
        "sentence": "No worker is connected. Start one with `headway worker --server URL`.",
        "workers": {},
        "cold": None,
    }
    await api.worker(slots=2)
    command = {"command": ["ls"], "world_size": 2}
    fits = (await api.http.post("/api/v1/jobs/plan", json=command)).json()
    assert (fits["workers"], fits["sentence"]) == ({"one": 2}, "It would start at once.")
    assert fits["cold"] == "ls is a command, not a Python script"
    never = (await api.http.post("/api/v1/jobs/plan", json={**SCRIPT, "world_size": 3})).json()
    assert "Needs 3 slots; all workers together have 2" in never["sentence"]
    bad = await api.http.post("/api/v1/jobs/plan", json={**SCRIPT, "metrics": {"loss": "("}})
    assert bad.status_code == 422
    assert (await api.http.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_rerun_is_the_spec_with_changes_checked_as_a_submission_is(api: Api) -> None:
    """Given a job, when it is submitted again with a merge patch, then only that changes; bad changes are refused."""
    spec = {
        "arguments": ["--lr", "0.1"],
        "env": {"A": "1", "B": "2"},
        "labels": {"team": "vision"},
        "priority": 3,
    }
    first = await api.submit(name="first", world_size={"min": 1, "max": 2}, **spec)
    path = "/api/v1/jobs/first/rerun"
    changes = {"name": "second", "arguments": ["--lr", "0.2"], "env": {"A": None, "C": "3"}, "world_size": 4}
    planned = await api.http.post(f"{path}/plan", json={**changes, "priority": None})
    assert (planned.status_code, planned.json()["workers"]) == (200, {})
    key = {"Idempotency-Key": "k"}
    answers = [await api.http.post(path, json={**changes, "priority": None}, headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 200]
    second = answers[0].json()
    assert second["spec"] == {
        **first["spec"],
        "name": "second",
        "arguments": ["--lr", "0.2"],
        "env": {"B": "2", "C": "3"},
        "world_size": 4,
        "minimum_world_size": None,
        "priority": 0,
    }
    for bad, words in (
        ({"name": "second"}, "second exists already"),
        ({"variables": {"NOPE": None}}, "Job first: env has no NOPE to remove; it has: A, B."),
        ({"variables": {"RANK": "1"}}, "would replace RANK"),
        ({"retries": "many"}, "retries: 'many' is text; give a whole number."),
        ({"no_such_field": 1}, "no_such_field: there is no such field."),
        ({"arguments": "--lr 0.1"}, 'arguments: \'--lr 0.1\' is text; give a list: ["--lr", "0.1"].'),
        ({"timeout": 3600}, "timeout: there is no such field. Did you mean timeout_seconds?"),
        ({"trainer": "cnn"}, "give one of trainer, script, module and command"),
    ):
        refused = await api.http.post(path, json=bad)
        assert refused.status_code in (409, 422), refused.text
        assert words in refused.json()["detail"]
    assert (await api.http.post(path, json=[1])).status_code == 422
    assert len((await api.http.get("/api/v1/jobs")).json()["jobs"]) == 2


async def test_a_job_that_can_never_fit_says_so_when_it_is_submitted(api: Api) -> None:
    await api.worker(slots=2)
    job = await api.submit(world_size=3)
    assert "Needs 3 slots; all workers together have 2" in job["sentence"]


async def test_the_schema_of_job_files_is_open_to_editors(api: Api) -> None:
    response = await api.http.get("/job.schema.json", headers={"Authorization": ""})
    assert {"script", "workdir", "world_size"} <= response.json()["properties"].keys()
    assert "snapshot" not in response.json()["properties"]


async def test_a_job_that_is_placed_while_it_is_explained_does_not_wait_for_itself(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a queued job that is being read, when it is placed at that moment, then the answer describes the placed
    job.
    """
    job = await api.submit(name="mine")
    queued = await api.server.jobs.find(PROJECT, "mine")

    async def read_before(project: str, name: str) -> Job:
        return queued

    await api.worker(slots=1)
    while (await api.server.jobs.by_id(job["id"])).status is JobStatus.QUEUED:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(api.server.backends.database, "job_named", read_before)
    shown = (await api.http.get("/api/v1/jobs/mine")).json()
    assert (shown["status"], shown["sentence"]) == ("starting", "Its workers are preparing and starting its ranks.")
