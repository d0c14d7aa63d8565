"""Working directories over HTTP: stored by their hash, refused, swept."""

from __future__ import annotations

import hashlib

import pytest

from headway.server.services.snapshots import Snapshots
from tests.api.conftest import Api

pytestmark = pytest.mark.anyio


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
    job = await api.submit(script="train.py", source=None, snapshot=sha256)
    await api.server.scheduler.schedule()
    await worker.claim(job["id"])
    fetched = await api.http.get(f"/api/v1/snapshots/{sha256}", headers=worker.headers)
    assert fetched.content == b"an archive"


async def test_a_snapshot_with_other_bytes_or_too_many_is_refused(api: Api) -> None:
    sha256 = "0" * 64
    response = await api.http.put(f"/api/v1/snapshots/{sha256}", content=b"other")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert (await api.http.head(f"/api/v1/snapshots/{sha256}")).status_code == 404
    api.server.snapshots._maximum_bytes = 3
    response = await api.http.put(f"/api/v1/snapshots/{hashlib.sha256(b'four').hexdigest()}", content=b"four")
    assert response.status_code == 413
    assert "List files that are not needed in .headwayignore" in response.json()["detail"]


async def test_a_job_without_its_snapshot_is_refused(api: Api) -> None:
    response = await api.http.post("/api/v1/jobs", json={"command": ["./x"], "snapshot": "0" * 64})
    assert response.status_code == 404
    assert "Snapshot 000000000000 does not exist" in response.json()["detail"]


async def test_snapshots_that_no_job_names_go_at_the_second_sweep(api: Api) -> None:
    used, unused = await put_snapshot(api, b"used"), await put_snapshot(api, b"unused")
    await api.submit(source=None, snapshot=used)
    backends = api.server.backends
    jobs = api.server.jobs
    snapshots = Snapshots(backends.objects, backends.database, jobs, maximum_bytes=100)  # nothing else sweeps it
    await snapshots.sweep()
    assert (await backends.objects.size_bytes(f"snapshots/{unused[:2]}/{unused}")) == 6
    await snapshots.sweep()
    assert (await api.http.head(f"/api/v1/snapshots/{used}")).status_code == 200
    assert (await api.http.head(f"/api/v1/snapshots/{unused}")).status_code == 404
