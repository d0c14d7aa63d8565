"""Old logs and metrics are deleted, those of the oldest jobs first. Streams of a deleted job are deleted as well."""

from __future__ import annotations

import asyncio

import pytest

from headway.formats.reports import Report
from tests.api.conftest import Api, SpokenWorker
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio


async def ended_job(api: Api, worker: SpokenWorker, name: str) -> str:
    job = await api.submit(name=name)
    await eventually(api, name, "starting")
    await worker.run_to_the_end(job["id"], lines=(name,))
    await eventually(api, name, "succeeded")
    while len(await api.server.backends.database.streams.index(job["id"], 1)) > 1:
        await asyncio.sleep(0.02)  # housekeeping compacts first
    worker.numbers = 0
    return str(job["id"])


async def sweep(api: Api, retention_bytes: int) -> None:
    settings = api.server.settings.model_copy(update={"stream_retention_bytes": retention_bytes})
    api.server.housekeeping._settings = settings
    await api.server.housekeeping.sweep()


async def test_retention_deletes_streams_of_ended_jobs_only_the_oldest_first(api: Api) -> None:
    worker = await api.worker()
    _, younger = [await ended_job(api, worker, name) for name in ("oldest", "younger")]
    running = (await api.submit(name="running"))["id"]
    await eventually(api, "running", "starting")
    await worker.claim(running)
    await api.server.recorder.record([worker.a_report(running, lines=("running",))])
    streams = api.server.backends.database.streams
    await sweep(api, sum((await streams.sizes()).values()) - 1)
    assert set(await streams.sizes()) == {younger, running}
    await sweep(api, 1)
    assert set(await streams.sizes()) == {running}


async def test_streams_that_outlived_their_job_are_deleted(api: Api) -> None:
    """Given a server that died after it deleted a job and before it deleted its streams."""
    worker = await api.worker()
    job = await ended_job(api, worker, "mine")
    await api.http.delete("/api/v1/jobs/mine")
    streams = api.server.backends.database.streams
    assert await streams.sizes() == {}
    await streams.insert([Report(job, 1, worker.id, 1, 1, logs=b"left")])
    await api.server.housekeeping.sweep()
    assert await streams.sizes() == {}
