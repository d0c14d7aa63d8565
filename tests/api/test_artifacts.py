"""Artifacts of jobs: downloading parts of them, and retention."""

from __future__ import annotations

import pytest

from headway.core.facts import ArtifactStored, OutputsStored, RankStarted, Released
from headway.objects.files import FileObjects
from tests.api.conftest import Api, finished_rank
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio


CONTENT = b"0123456789"


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


async def test_a_store_with_links_sends_its_files_itself(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a store with links, then the server answers with one, only to those who may read the file."""

    async def link(self: FileObjects, object_id: str, file_name: str) -> str:
        return f"https://store.example/{object_id.split('/')[0]}?as={file_name.encode().hex()}"

    monkeypatch.setattr(FileObjects, "link", link)
    path = await job_with_artifact(api, "out/model.bin")
    response = await api.http.get(path, headers={"Range": "bytes=2-5"})
    assert (response.status_code, response.content) == (307, b"")
    assert response.headers["location"] == f"https://store.example/artifacts?as={b'model.bin'.hex()}"
    assert response.headers["cache-control"] == "no-store"
    assert (await api.http.get(path, headers={"Range": "bytes=10-"})).status_code == 416
    assert (await api.http.get(path, headers={"Authorization": "Bearer nobody"})).status_code == 401


async def test_a_file_that_the_client_has_is_not_sent_again(api: Api) -> None:
    path = await job_with_artifact(api)
    etag = (await api.http.get(path)).headers["etag"]
    assert (await api.http.get(path, headers={"If-None-Match": etag})).status_code == 304
    assert (await api.http.get(path, headers={"If-None-Match": "*"})).status_code == 304
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
