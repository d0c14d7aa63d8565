"""What users bring over HTTP: snapshots, datasets, plans, notes; and what they get: parts of files, links, events."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from headway.core.facts import ArtifactStored, OutputsStored, RankStarted, Released
from headway.core.job import Job, JobSpec
from headway.core.status import JobStatus
from headway.formats import blocks
from headway.formats.dataset_files import describe, prepare
from headway.server.clock import Clock
from headway.server.server import Server
from headway.server.services.snapshots import Snapshots
from headway.server.startup import started
from headway.settings import Settings
from tests.api.conftest import PROJECT, SCRIPT, USER, Api, finished_rank
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio
CONTENT = b"0123456789"


async def put_snapshot(api: Api, content: bytes = b"an archive") -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    response = await api.http.put(f"/api/v1/snapshots/{sha256}", content=content)
    assert response.status_code == 201
    return sha256


async def test_a_snapshot_is_stored_by_its_hash_and_fetched_by_workers(api: Api) -> None:
    sha256 = hashlib.sha256(b"an archive").hexdigest()
    assert (await api.http.head(f"/api/v1/snapshots/{sha256}")).status_code == 404
    await put_snapshot(api)
    assert (await api.http.head(f"/api/v1/snapshots/{sha256}")).status_code == 200
    worker = await api.worker()
    fetched = await api.http.get(f"/api/v1/snapshots/{sha256}", headers=worker.headers)
    assert fetched.content == b"an archive"
    await api.submit(script="train.py", source=None, snapshot=sha256)


async def test_a_snapshot_with_other_bytes_or_too_many_is_refused(api: Api) -> None:
    sha256 = "0" * 64
    response = await api.http.put(f"/api/v1/snapshots/{sha256}", content=b"other")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert (await api.http.head(f"/api/v1/snapshots/{sha256}")).status_code == 404
    api.server.snapshots._maximum_bytes = 3
    response = await api.http.put(f"/api/v1/snapshots/{hashlib.sha256(b'four').hexdigest()}", content=b"four")
    assert response.status_code == 413
    assert "Name what is not needed in .headwayignore" in response.json()["detail"]


async def test_a_job_without_its_snapshot_is_refused(api: Api) -> None:
    response = await api.http.post("/api/v1/jobs", json={"command": ["./x"], "snapshot": "0" * 64})
    assert response.status_code == 404
    assert "Snapshot 000000000000 does not exist" in response.json()["detail"]


async def test_snapshots_that_no_job_names_go_at_the_second_sweep(api: Api) -> None:
    used, unused = await put_snapshot(api, b"used"), await put_snapshot(api, b"unused")
    await api.submit(source=None, snapshot=used)
    backends = api.server.backends
    snapshots = Snapshots(backends.objects, backends.database, maximum_bytes=100)  # nobody else sweeps it
    await snapshots.sweep()
    assert (await backends.objects.size_bytes(f"snapshots/{unused[:2]}/{unused}")) == 6
    await snapshots.sweep()
    assert (await api.http.head(f"/api/v1/snapshots/{used}")).status_code == 200
    assert (await api.http.head(f"/api/v1/snapshots/{unused}")).status_code == 404


async def test_a_dataset_is_added_by_its_blocks(api: Api) -> None:
    inputs = np.arange(40 * 16, dtype=np.uint8).reshape(40, 4, 4)
    arrays = prepare({split: {"input": inputs, "label": np.arange(40) % 3} for split in ("train", "test")}, "test")
    splits, contents = blocks.cut_splits(arrays)
    dataset = describe("mine", arrays, splits, "test").model_dump()
    refused = await api.http.post("/api/v1/datasets", json=dataset)
    assert refused.status_code == 422
    assert "names 1 blocks that were not sent" in refused.json()["detail"]
    missing = await api.http.post("/api/v1/datasets/missing", json=[block.model_dump() for block, _ in contents])
    for block, compressed in contents:
        if block.sha256 in missing.json()["missing"]:
            assert (await api.http.put(f"/api/v1/blocks/{block.sha256}", content=compressed)).status_code == 204
    assert (await api.http.put(f"/api/v1/blocks/{'0' * 64}", content=b"x")).status_code == 422
    for _ in range(2):  # again: nothing changes
        assert (await api.http.post("/api/v1/datasets", json=dataset)).status_code == 201
    other = await api.http.post("/api/v1/datasets", json={**dataset, "classes": 9})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    await api.submit(trainer="mlp", dataset="mine", script=None, source=None)
    assert [one["name"] for one in (await api.http.get("/api/v1/datasets")).json()] == ["mine"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"splits": {}}, "it needs train and test"),
        ({"name": "../x"}, "name: '../x' is not allowed as a name"),
        ({"classes": 0}, "classes: 0 is too small; give a number from 1 to 2,147,483,648"),
    ],
)
async def test_an_index_that_does_not_hold_together_is_refused(
    api: Api, changes: dict[str, object], words: str
) -> None:
    index = {"name": "mine", "classes": 2, "splits": {}, "mean": 0.0, "deviation": 1.0, "full_scale": 1.0}
    response = await api.http.post("/api/v1/datasets", json={**index, **changes})
    assert response.status_code == 422
    assert words in response.json()["detail"]


async def test_a_built_in_dataset_without_files_says_where_to_get_it(tmp_path: Path) -> None:
    server = Server(Settings(home=tmp_path / "home", dataset_directories=(tmp_path,)))
    async with started(server):
        with pytest.raises(Exception, match="Fetch it with `headway datasets add mnist`") as caught:
            await server.specs.check("default", JobSpec(trainer="cnn", dataset="mnist"))
    assert caught.value.code == "dataset_missing"


async def test_a_plan_says_where_a_job_would_run_and_stores_nothing(api: Api) -> None:
    waits = await api.http.post("/api/v1/jobs/plan", json={**SCRIPT, "world_size": 2})
    assert waits.json() == {
        "sentence": "Waiting for a worker: none is connected. Start one with `headway worker --server URL`.",
        "workers": {},
        "cold": None,
    }
    await api.worker(slots=2)
    command = {"command": ["ls"], "world_size": 2}
    fits = (await api.http.post("/api/v1/jobs/plan", json=command)).json()
    assert (fits["workers"], fits["sentence"]) == ({"one": 2}, "It would start at once.")
    assert fits["cold"] == "ls is a command, not a Python script"
    never = (await api.http.post("/api/v1/jobs/plan", json={**SCRIPT, "world_size": 3})).json()
    assert "3 are needed and all workers together have 2" in never["sentence"]
    bad = await api.http.post("/api/v1/jobs/plan", json={**SCRIPT, "metrics": {"loss": "("}})
    assert bad.status_code == 422
    assert (await api.http.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_rerun_is_the_spec_with_changes_checked_as_a_submission_is(api: Api) -> None:
    """Given a job, when it is submitted again with a merge patch, then only that changes; bad changes are refused."""
    spec = {
        "arguments": ["--lr", "0.1"],
        "variables": {"A": "1", "B": "2"},
        "labels": {"team": "vision"},
        "priority": 3,
    }
    first = await api.submit(name="first", world_size={"min": 1, "max": 2}, **spec)
    path = "/api/v1/jobs/first/rerun"
    changes = {"name": "second", "arguments": ["--lr", "0.2"], "variables": {"A": None, "C": "3"}, "world_size": 4}
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
        "variables": {"B": "2", "C": "3"},
        "world_size": 4,
        "minimum_world_size": None,
        "priority": 0,
    }
    for bad, words in (
        ({"name": "second"}, "second exists already"),
        ({"variables": {"NOPE": None}}, "Job first: variables has no NOPE, so it cannot be removed; it has: A, B."),
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
    assert "3 are needed and all workers together have 2" in job["sentence"]


async def test_labels_and_notes_are_changed_and_found(api: Api) -> None:
    await api.submit(name="mine", labels={"team": "vision"}, notes="first")
    await api.submit(name="other")
    changed = await api.http.patch("/api/v1/jobs/mine", json={"labels": {"team": "audio"}})
    assert (changed.json()["labels"], changed.json()["notes"]) == ({"team": "audio"}, "first")
    await api.http.patch("/api/v1/jobs/mine", json={"notes": "second"})
    found = (await api.http.get("/api/v1/jobs", params={"label": "team=audio"})).json()["jobs"]
    assert [(job["name"], job["notes"]) for job in found] == [("mine", "second")]
    bad = await api.http.patch("/api/v1/jobs/mine", json={"labels": {"a b": "c"}})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_input")
    assert (await api.http.get("/api/v1/jobs", params={"label": "team"})).status_code == 422


async def test_sorted_pages_follow_each_other(api: Api) -> None:
    for number in range(5):
        await api.submit(name=f"job{number}")
    names: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, "sort": "accuracy", **({"cursor": cursor} if cursor else {})}
        page = (await api.http.get("/api/v1/jobs", params=params)).json()
        names += [job["name"] for job in page["jobs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert names == ["job4", "job3", "job2", "job1", "job0"]
    assert (await api.http.get("/api/v1/jobs", params={"cursor": "[1"})).status_code == 422


async def job_with_artifact(api: Api, name: str = "out/ünï code.bin") -> str:
    worker = await api.worker()
    job = await api.submit(name="mine")
    await eventually(api, "mine", "starting")
    rank = {"Authorization": f"Bearer {(await worker.claim(job['id'])).json()['rank_token']}"}
    path = f"/api/v1/jobs/{job['id']}/attempts/1/artifacts/{name}"
    stored = await api.http.put(path, content=CONTENT, headers=rank)
    assert stored.status_code == 201, stored.text
    facts = (*finished_rank(), ArtifactStored(artifact=stored.json()), OutputsStored(), Released())
    reports = [worker.a_report(job["id"], RankStarted(rank=0, pid=1)), worker.a_report(job["id"], *facts, last=True)]
    await api.server.recorder.record(reports)
    await eventually(api, "mine", "succeeded")
    return f"/api/v1/jobs/mine/artifacts/{name}"


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=2-5", 206, b"2345"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=0-99", 200, CONTENT),
        ("lines=1-2", 200, CONTENT),
        ("bytes=10-", 416, None),
        ("bytes=5-2", 416, None),
    ],
)
async def test_a_part_of_a_file(api: Api, asked: str, status: int, content: bytes | None) -> None:
    path = await job_with_artifact(api)
    response = await api.http.get(path, headers={"Range": asked})
    assert response.status_code == status
    if content is not None:
        assert response.content == content
        assert response.headers["content-length"] == str(len(content))
    if status == 206:
        start = CONTENT.index(content or b"")
        assert response.headers["content-range"] == f"bytes {start}-{start + len(content or b'') - 1}/10"


async def test_a_file_that_is_there_already_is_not_sent_again(api: Api) -> None:
    path = await job_with_artifact(api)
    etag = (await api.http.get(path)).headers["etag"]
    assert (await api.http.get(path, headers={"If-None-Match": etag})).status_code == 304
    assert (await api.http.get(path, headers={"If-None-Match": '"other"'})).content == CONTENT


async def test_retention_deletes_the_files_of_old_jobs_and_says_so(api: Api) -> None:
    path = await job_with_artifact(api, "model.pt")
    await api.server.housekeeping.sweep()
    assert (await api.http.get(path)).content == CONTENT
    api.server.housekeeping._settings = api.server.settings.model_copy(update={"artifact_retention_bytes": 5})
    await api.server.housekeeping.sweep()
    gone = await api.http.get(path)
    assert gone.status_code == 404
    assert "its files were deleted by retention" in gone.json()["detail"]
    assert [one async for one in api.server.backends.objects.list("artifacts/")] == []


async def test_a_link_opens_once_and_leaves_a_cookie(api: Api) -> None:
    link = (await api.http.post("/api/v1/links")).json()
    api.http.headers.pop("Authorization")
    opened = await api.http.get(link["path"])
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert "samesite=strict" in opened.headers["set-cookie"].lower()
    assert (await api.http.get("/api/v1/jobs")).status_code == 200
    assert (await api.http.get(link["path"])).status_code == 401
    elsewhere = {"Origin": "http://evil.example"}
    assert (await api.http.post("/api/v1/jobs", json=SCRIPT, headers=elsewhere)).status_code == 401
    here = {"Origin": "http://test"}
    assert (await api.http.post("/api/v1/jobs", json=SCRIPT, headers=here)).status_code == 201


async def test_a_link_is_too_old_after_ten_minutes(api: Api) -> None:
    class Later(Clock):
        def monotonic(self) -> float:
            return super().monotonic() + 601

    link = (await api.http.post("/api/v1/links")).json()
    api.server.links._clock = Later()
    assert (await api.http.get(link["path"])).status_code == 401


async def messages(stream: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, object]]]:
    async for text in stream:
        fields = dict(line.split(": ", 1) for line in text.strip().splitlines() if not line.startswith(":"))
        if fields:
            yield fields["event"], json.loads(fields["data"])


async def test_all_jobs_are_followed_from_a_snapshot_on(api: Api) -> None:
    from headway.server.api.events import _frames

    await api.submit(name="before")
    stream = messages(_frames(api.server.job_feed.watch(USER, PROJECT)))
    assert [(kind, data.get("name")) for kind, data in (await anext(stream), await anext(stream))] == [
        ("job", "before"),
        ("ready", None),
    ]
    await api.submit(name="after")
    before = (await api.http.post("/api/v1/jobs/before/cancel")).json()["id"]
    newest: dict[object, object] = {}
    while newest != {"after": "queued", "before": "cancelled"}:
        kind, data = await asyncio.wait_for(anext(stream), 10)
        newest[data["name"]] = data["status"]
    await api.http.delete("/api/v1/jobs/before")
    while (kind, data["id"]) != ("deleted", before):
        kind, data = await asyncio.wait_for(anext(stream), 10)
    await stream.aclose()


async def test_asking_a_job_that_does_not_run_is_a_conflict(api: Api) -> None:
    await api.submit(name="mine")
    for path, body in (("exec", {"command": ["ls"]}), ("stacks", None)):
        response = await api.http.post(f"/api/v1/jobs/mine/{path}", json=body)
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        assert "Job mine is queued" in response.json()["detail"]


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


async def test_a_time_limit_holds_though_the_wall_clock_is_set_back(api: Api) -> None:
    class Tampered(Clock):
        set_back, ahead = 0.0, 0.0

        def wall(self) -> float:
            return super().wall() - self.set_back

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead

    clock = Tampered()
    api.server.scheduler._clock = clock
    worker = await api.worker()
    job = await api.submit(name="mine", timeout_seconds=100)
    await eventually(api, "mine", "starting")
    await worker.claim(job["id"])
    await api.server.recorder.record([worker.a_report(job["id"], RankStarted(rank=0, pid=1))])
    clock.set_back = 86_400.0
    await api.server.scheduler.tick()
    assert (await api.http.get("/api/v1/jobs/mine")).json()["status"] == "running"
    clock.ahead = 101.0
    await api.server.scheduler.tick()
    shown = (await api.http.get("/api/v1/jobs/mine")).json()
    assert (shown["status"], shown["attempt"]["reason"]) == ("stopping", "timed_out")


async def test_the_schema_of_job_files_is_open_to_editors(api: Api) -> None:
    response = await api.http.get("/job.schema.json", headers={"Authorization": ""})
    assert {"script", "workdir", "world_size"} <= response.json()["properties"].keys()
    assert "snapshot" not in response.json()["properties"]


async def test_a_trainer_is_refused_a_dataset_whose_samples_it_cannot_learn(api: Api) -> None:
    for name, shape in (("flat", (12,)), ("tiny", (3, 3))):
        inputs = np.zeros((20, *shape), np.uint8)
        arrays = prepare({split: {"input": inputs, "label": np.arange(20) % 2} for split in ("train", "test")}, name)
        splits, contents = blocks.cut_splits(arrays)
        for block, compressed in contents:
            await api.http.put(f"/api/v1/blocks/{block.sha256}", content=compressed)
        await api.http.post("/api/v1/datasets", json=describe(name, arrays, splits, name).model_dump())
        refused = await api.http.post("/api/v1/jobs", json={"trainer": "cnn", "dataset": name})
        assert refused.status_code == 422
        assert "Trainer cnn takes images of at least 4 x 4 pixels" in refused.json()["detail"]
        await api.submit(trainer="mlp", dataset=name, script=None, source=None)


async def test_a_job_that_is_placed_while_it_is_explained_is_not_said_to_wait_for_itself(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a queued job being read, when it is placed in that moment, then the answer is about the placed one."""
    job = await api.submit(name="mine")
    queued = await api.server.jobs.find(PROJECT, "mine")

    async def read_before(project: str, name: str) -> Job:
        return queued

    await api.worker(slots=1)
    while (await api.server.jobs.by_id(job["id"])).status is JobStatus.QUEUED:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(api.server.backends.database, "job_named", read_before)
    shown = (await api.http.get("/api/v1/jobs/mine")).json()
    assert (shown["status"], shown["sentence"]) == ("starting", "Its workers are preparing it and starting its ranks.")


async def test_a_worker_hears_which_of_its_jobs_have_ended(api: Api) -> None:
    """Given jobs whose working directories a worker keeps, it may remove those of ended and of deleted ones."""
    worker = await api.worker(slots=1)
    waits, ended = await api.submit(world_size=2), await api.submit(world_size=2)
    await api.http.post(f"/api/v1/jobs/{ended['id']}/cancel")
    asked = {"jobs": [waits["id"], ended["id"], "j-gone"]}
    answer = await api.http.post(f"/api/v1/workers/{worker.id}/ended-jobs", json=asked, headers=worker.headers)
    assert answer.json() == {"jobs": [ended["id"], "j-gone"]}


async def test_a_worker_that_shuts_down_is_no_warning(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    worker = await api.worker()
    with caplog.at_level("INFO"):
        answer = await api.http.delete(f"/api/v1/workers/{worker.id}", headers=worker.headers)
    assert answer.status_code == 204
    said = [(one.levelname, one.getMessage()) for one in caplog.records if one.getMessage().startswith("Worker ")]
    assert [level for level, words in said if words.endswith(" has shut down.")] == ["INFO"]
    assert not any("is lost" in words for _, words in said)


async def test_pausing_and_resuming_say_from_where_the_job_continues(api: Api) -> None:
    job = await api.submit(name="mine")
    assert job["resumes_from"] is None
    paused = (await api.http.post("/api/v1/jobs/mine/pause")).json()
    assert (paused["sentence"], paused["hold"]) == ("Job mine is paused. It starts from the beginning.", True)
    shown = (await api.http.get("/api/v1/jobs/mine")).json()
    assert shown["sentence"] == "Paused. After `headway resume mine`: It starts from the beginning."
    assert (await api.http.post("/api/v1/jobs/mine/resume")).json()["sentence"] == "It starts from the beginning."
