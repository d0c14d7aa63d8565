"""How jobs and workers end or pause, and what users are told."""

from __future__ import annotations

import pytest

from headway.core.facts import RankStarted
from headway.server.clock import Clock
from tests.api.conftest import Api
from tests.api.test_jobs import eventually

pytestmark = pytest.mark.anyio


async def test_a_time_limit_holds_when_the_wall_clock_is_set_back(api: Api) -> None:
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


async def test_a_worker_learns_which_of_its_jobs_have_ended(api: Api) -> None:
    """Given jobs whose working directories a worker keeps, it may remove those of ended and deleted jobs."""
    worker = await api.worker(slots=1)
    waits, ended = await api.submit(), await api.submit(world_size=2)
    await api.server.scheduler.schedule()
    await worker.claim(waits["id"])
    await api.http.post(f"/api/v1/jobs/{ended['id']}/cancel")
    asked = {"jobs": [waits["id"], ended["id"], "j-gone"]}
    answer = await api.http.post(f"/api/v1/workers/{worker.id}/ended-jobs", json=asked, headers=worker.headers)
    assert answer.json() == {"jobs": [ended["id"], "j-gone"]}


async def test_a_worker_that_shuts_down_causes_no_warning(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    worker = await api.worker()
    with caplog.at_level("INFO"):
        answer = await api.http.delete(f"/api/v1/workers/{worker.id}", headers=worker.headers)
    assert answer.status_code == 204
    said = [(one.levelname, one.getMessage()) for one in caplog.records if one.getMessage().startswith("Worker ")]
    assert [level for level, words in said if words.endswith(" has shut down.")] == ["INFO"]
    assert not any("is lost" in words for _, words in said)


async def test_pausing_and_resuming_say_where_the_job_continues(api: Api) -> None:
    job = await api.submit(name="mine")
    assert job["resumes_from"] is None
    paused = (await api.http.post("/api/v1/jobs/mine/pause")).json()
    assert (paused["sentence"], paused["hold"]) == ("Job mine is paused. It will start from the beginning.", True)
    shown = (await api.http.get("/api/v1/jobs/mine")).json()
    assert shown["sentence"] == "Paused. Resume it with `headway resume mine`. It will start from the beginning."
    assert (await api.http.post("/api/v1/jobs/mine/resume")).json()["sentence"] == "It will start from the beginning."
