"""Workers and ranks may read only what their own assignments need. Knowing a hash or an id is not enough."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import numpy as np
import pytest

from headway.core.dataset import Block
from headway.core.facts import RankStarted, Released
from headway.formats import blocks
from headway.formats.dataset_files import describe, prepare
from headway.server.access import Caller, CallerKind
from tests.api.conftest import Api, SpokenWorker

pytestmark = pytest.mark.anyio
CODE = b"a packed working directory"
CODE_SHA256 = hashlib.sha256(CODE).hexdigest()
UNKNOWN_SHA256 = "0" * 64


async def placed(api: Api, worker: SpokenWorker, **spec: Any) -> str:
    """A job with an assignment that is offered to the worker."""
    job = (await api.submit(**spec))["id"]
    async with asyncio.timeout(10):
        while not any(one["job"] == job for one in await assignments(worker)):
            await asyncio.sleep(0.01)
    return str(job)


async def assignments(worker: SpokenWorker) -> list[dict[str, Any]]:
    return list((await worker.heartbeat(1)).json()["assignments"])


async def send_code(api: Api) -> None:
    assert (await api.http.put(f"/api/v1/snapshots/{CODE_SHA256}", content=CODE)).status_code == 201


async def add_dataset(api: Api, name: str, start: int = 0) -> list[tuple[Block, bytes]]:
    """Register a dataset. Returns its blocks."""
    inputs = np.arange(start, start + 40 * 4, dtype=np.int64).reshape(40, 2, 2)
    arrays = prepare({split: {"input": inputs, "label": np.arange(40) % 3} for split in ("train", "test")}, "test")
    splits, contents = blocks.cut_splits(arrays)
    for block, compressed in contents:
        await api.http.put(f"/api/v1/blocks/{block.sha256}", content=compressed)
    index = describe(name, arrays, splits, "test").model_dump()
    assert (await api.http.post("/api/v1/datasets", json=index)).status_code == 201
    return contents


async def get(worker: SpokenWorker, path: str) -> httpx.Response:
    return await worker.api.http.get(f"/api/v1/{path}", headers=worker.headers)


def assert_absent(found: httpx.Response, unknown: httpx.Response, sha256: str) -> None:
    """The answer is the same as for an absent object."""
    assert (found.status_code, unknown.status_code) == (404, 404)
    assert found.text.replace(sha256, UNKNOWN_SHA256).replace(sha256[:12], UNKNOWN_SHA256[:12]) == unknown.text


async def test_a_worker_reads_a_snapshot_while_it_has_an_assignment_that_needs_it(api: Api) -> None:
    await send_code(api)
    worker, path = await api.worker(), f"snapshots/{CODE_SHA256}"
    job = await placed(api, worker, script=None, source=None, command=["true"], snapshot=CODE_SHA256)
    unknown = await get(worker, f"snapshots/{UNKNOWN_SHA256}")
    assert_absent(await get(worker, path), unknown, CODE_SHA256)  # it was offered the job, but has not claimed it
    assert (await worker.claim(job)).status_code == 200
    assert (await get(worker, path)).content == CODE
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
    assert (await get(worker, path)).content == CODE, "the environment of a running rank may still have to be built"
    await api.http.post(f"/api/v1/jobs/{job}/cancel")
    assert (await get(worker, path)).content == CODE, "it has not released its slots"
    await api.server.recorder.record([worker.a_report(job, Released(), last=True)])
    assert_absent(await get(worker, path), unknown, CODE_SHA256)


async def test_a_worker_reads_blocks_while_it_has_an_assignment_that_needs_them(api: Api) -> None:
    contents, others = await add_dataset(api, "mine"), await add_dataset(api, "other", start=1000)
    worker, (block, compressed) = await api.worker(), contents[0]
    path, other = f"blocks/{block.sha256}", others[0][0].sha256
    job = await placed(api, worker, script=None, source=None, trainer="mlp", dataset="mine")
    unknown = await get(worker, f"blocks/{UNKNOWN_SHA256}")
    assert_absent(await get(worker, path), unknown, block.sha256)
    assert (await worker.claim(job)).status_code == 200
    assert (await get(worker, path)).content == compressed
    assert_absent(await get(worker, f"blocks/{other}"), unknown, other)
    await api.http.post(f"/api/v1/jobs/{job}/cancel")
    await api.server.recorder.record([worker.a_report(job, Released(), last=True)])
    assert_absent(await get(worker, path), unknown, block.sha256)


async def test_a_retry_reads_again_what_it_needs(api: Api) -> None:
    """Given an attempt that was released, then its worker reads nothing until it has claimed the next."""
    await send_code(api)
    worker, path = await api.worker(slots=1), f"snapshots/{CODE_SHA256}"
    job = await placed(api, worker, script=None, source=None, command=["true"], snapshot=CODE_SHA256)
    await worker.claim(job)
    refused = await api.http.post(f"/api/v1/workers/{worker.id}/assignments/{job}/1/refuse", headers=worker.headers)
    assert refused.status_code == 204
    assert (await get(worker, path)).status_code == 404
    async with asyncio.timeout(10):
        while not any((one["job"], one["attempt"]) == (job, 2) for one in await assignments(worker)):
            await asyncio.sleep(0.01)
    await worker.claim(job, attempt=2)
    assert (await get(worker, path)).content == CODE


async def test_a_worker_cannot_read_for_the_claims_of_another(api: Api) -> None:
    await send_code(api)
    contents = await add_dataset(api, "mine")
    worker = await api.worker(slots=2)
    code = await placed(api, worker, script=None, source=None, command=["true"], snapshot=CODE_SHA256)
    training = await placed(api, worker, script=None, source=None, trainer="mlp", dataset="mine")
    await worker.claim(code)
    await worker.claim(training)
    other = await api.worker()
    for path in (f"snapshots/{CODE_SHA256}", f"blocks/{contents[0][0].sha256}"):
        assert (await get(worker, path)).status_code == 200
        assert (await get(other, path)).status_code == 404


async def test_two_jobs_may_need_the_same_snapshot(api: Api) -> None:
    """Given two claimed assignments with one snapshot, when the first is released, the second still reads it."""
    await send_code(api)
    worker, path = await api.worker(slots=2), f"snapshots/{CODE_SHA256}"
    fields: dict[str, Any] = {"script": None, "source": None, "command": ["true"], "snapshot": CODE_SHA256}
    first, second = await placed(api, worker, **fields), await placed(api, worker, **fields)
    await worker.claim(first)
    await worker.claim(second)
    await api.http.post(f"/api/v1/jobs/{first}/cancel")
    await api.server.recorder.record([worker.a_report(first, Released(), last=True)])
    assert (await get(worker, path)).content == CODE


async def test_a_restarted_worker_has_no_access_from_its_earlier_registration(api: Api) -> None:
    await send_code(api)
    worker, path = await api.worker(), f"snapshots/{CODE_SHA256}"
    job = await placed(api, worker, script=None, source=None, command=["true"], snapshot=CODE_SHA256)
    await worker.claim(job)
    again = await api.worker(former_token=worker.registered["token"])
    assert (await get(again, path)).status_code == 404
    assert (await get(worker, path)).status_code == 410, "its earlier registration is lost"


async def test_workers_cannot_list_datasets_or_probe_snapshots(api: Api) -> None:
    await send_code(api)
    await add_dataset(api, "mine")
    worker = await api.worker()
    for path in ("datasets", "datasets/mine"):
        assert (await get(worker, path)).status_code == 403
    asked = await api.http.head(f"/api/v1/snapshots/{CODE_SHA256}", headers=worker.headers)
    assert asked.status_code == 404


async def test_a_worker_cannot_act_for_another(api: Api) -> None:
    """Given the id of another worker, every verb answers as for a worker that does not exist."""
    worker, other = await api.worker(), await api.worker()
    body = {"counter": 1, "last_answer": 0}
    for method, path, content in (
        ("POST", "heartbeat", body),
        ("POST", "ended-jobs", {"jobs": []}),
        ("POST", "assignments/j-x/1/claim", {"endpoint": "127.0.0.1:1"}),
        ("POST", "assignments/j-x/1/refuse", None),
        ("POST", "inquiries/q-x", {"output": ""}),
        ("DELETE", "", None),
    ):
        answers = []
        for name in (other.id, "w-nobody"):
            url = f"/api/v1/workers/{name}/{path}".rstrip("/")
            answers.append(await api.http.request(method, url, json=content, headers=worker.headers))
        assert {answer.status_code for answer in answers} == {404}, path
        assert answers[0].text.replace(other.id, "w-nobody") == answers[1].text, path
    assert (await other.heartbeat(1)).status_code == 200


async def test_an_assignment_of_another_worker_looks_absent(api: Api) -> None:
    worker, other = await api.worker(slots=1), await api.worker(slots=1)
    job = await placed(api, worker)
    answers = [await other.claim(job), await other.claim("j-nobody")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(job, "j-nobody") == answers[1].text
    refuse = f"/api/v1/workers/{other.id}/assignments/{{}}/1/refuse"
    answers = [await api.http.post(refuse.format(name), headers=other.headers) for name in (job, "j-nobody")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert (await worker.claim(job)).status_code == 200, "it is still the first one's"


async def test_a_heartbeat_tells_nothing_of_the_reports_of_others(api: Api) -> None:
    worker, other = await api.worker(slots=1), await api.worker(slots=1)
    job = await placed(api, worker)
    await worker.claim(job)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
    stream = {"job": job, "attempt": 1, "worker": worker.id}
    own = (await worker.heartbeat(2, streams=[stream])).json()["committed"]
    assert own == [{"stream": stream, "through": 1}]
    others = (await other.heartbeat(1, streams=[stream])).json()["committed"]
    assert others == [{"stream": stream, "through": None}], "the same as for a closed stream"


async def test_a_worker_learns_only_whether_its_own_jobs_have_ended(api: Api) -> None:
    """Given a job that waits for its second attempt, only the worker that had the first learns that the job has not
    ended.
    """
    worker, other = await api.worker(slots=1), await api.worker(slots=1)
    job = await placed(api, worker)
    await worker.claim(job)
    await api.http.post(f"/api/v1/jobs/{job}/pause")
    await api.server.recorder.record([worker.a_report(job, Released(), last=True)])
    for asking, told in ((worker, []), (other, [job])):
        answer = await api.http.post(
            f"/api/v1/workers/{asking.id}/ended-jobs", json={"jobs": [job]}, headers=asking.headers
        )
        assert answer.json() == {"jobs": told}
    again = await api.worker(former_token=worker.registered["token"])
    answer = await api.http.post(f"/api/v1/workers/{again.id}/ended-jobs", json={"jobs": [job]}, headers=again.headers)
    assert answer.json() == {"jobs": []}, "it has files of its earlier registration"


async def test_a_rank_reads_and_stores_for_its_own_attempt_only(api: Api) -> None:
    worker = await api.worker(slots=2)
    mine, other = await placed(api, worker), await placed(api, worker)
    await worker.claim(other)
    token = (await worker.claim(mine)).json()["rank_token"]
    headers = {"Authorization": f"Bearer {token}"}
    stored = await api.http.put(f"/api/v1/jobs/{mine}/attempts/1/artifacts/a", content=b"x", headers=headers)
    assert stored.status_code == 201
    for attempt in ("attempts/1", "attempts/2"):
        for path in (f"{attempt}/artifacts/a", f"{attempt}/checkpoints/1/0"):
            answers = [
                await api.http.put(f"/api/v1/jobs/{job}/{path}", content=b"x", headers=headers)
                for job in (other, "j-nobody")
            ]
            assert [answer.status_code for answer in answers] == [404, 404], path
            assert answers[0].text.replace(other, "j-nobody") == answers[1].text, path
    later = await api.http.put(f"/api/v1/jobs/{mine}/attempts/2/artifacts/a", content=b"x", headers=headers)
    assert later.status_code == 404
    read = await api.http.get(f"/api/v1/jobs/{other}/attempts/1/checkpoints/1/1/0", headers=headers)
    assert read.status_code == 404


async def test_callers_of_other_kinds_are_refused_before_anything_is_looked_up(api: Api) -> None:
    worker = await api.worker()
    for kind in (CallerKind.JOIN, CallerKind.USER):
        answer = await api.http.post(
            f"/api/v1/workers/{worker.id}/heartbeat", json={"counter": 1, "last_answer": 0},
            headers=api.headers(Caller(kind)),
        )  # fmt: skip
        assert answer.status_code == 403
