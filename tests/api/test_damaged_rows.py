"""A server whose database has rows that cannot be read starts, lists the rest, shows them, and deletes them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from headway.core.facts import CheckpointPartStored, OutputsStored, RankStarted, Released
from headway.errors import SettingInvalid
from headway.server.server import Server
from headway.settings import Settings
from tests.api.conftest import Api, finished_rank, opened

pytestmark = pytest.mark.anyio


def write(home: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(home / "headway.db")) as connection:
        assert connection.execute(statement, values).rowcount > 0
        connection.commit()


async def test_damaged_rows_stop_neither_start_nor_lists(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)) as api:
        worker = await api.worker()
        for name in ("done", "broken-end", "text"):
            job = await api.submit(name=name)
            await api.server.scheduler.schedule()
            worker.numbers = 0
            await worker.run_to_the_end(job["id"])
        for name in ("broken-queued", "queued"):
            await api.submit(name=name, where={"gpu": "none"})
        await api.server.datasets.find("default", "digits")
        ids = {one["name"]: one["id"] for one in (await api.http.get("/api/v1/jobs")).json()["jobs"]}
    home = settings.home
    write(home, "UPDATE jobs SET document = replace(document, '86400', 'null') WHERE name = 'broken-queued'")
    write(home, "UPDATE jobs SET document = '{', unsettled = 1 WHERE name = 'broken-end'")
    write(home, "UPDATE jobs SET document = cast(x'ff' AS TEXT) WHERE name = 'text'")
    write(home, "UPDATE attempts SET document = '[]' WHERE job = ?", ids["done"])
    write(home, "UPDATE events SET document = '{}' WHERE job = ? AND number = 2", ids["done"])
    write(home, "UPDATE workers SET document = 'x'")
    write(home, "UPDATE datasets SET document = '{}'")
    async with opened(Server(settings)) as api:
        page = (await api.http.get("/api/v1/jobs")).json()
        assert [one["name"] for one in page["jobs"]] == ["queued", "done"]
        assert {one["name"] for one in page["damaged"]} == {"broken-end", "broken-queued", "text"}
        for path in ("workers", "datasets", "jobs/done/attempts", "jobs/done", "jobs/done/logs", "goodput"):
            assert (await api.http.get(f"/api/v1/{path}")).status_code == 200, path
        events = (await api.http.get("/api/v1/jobs/done/events")).json()["events"]
        assert [one["number"] for one in events][:2] == [1, 3]
        shown = await api.http.get("/api/v1/jobs/broken-end")
        assert (shown.status_code, shown.json()["code"]) == (409, "damaged")
        assert "Job broken-end is damaged" in shown.json()["detail"]
        found = {(one["kind"], one["id"]) for one in (await api.http.get("/api/v1/damaged")).json()}
        assert {kind for kind, _ in found} >= {"job", "event", "worker", "dataset"}
        assert (await api.http.get("/health")).json()["damaged_rows"] == len(found)
        asking, asked = await api.worker(), {"jobs": [ids["broken-queued"], ids["done"]]}
        path = f"/api/v1/workers/{asking.id}/ended-jobs"
        assert (await api.http.post(path, json=asked, headers=asking.headers)).json() == {"jobs": [ids["done"]]}
        for kind in ("worker", "dataset", "event"):
            (row,) = (await api.http.get("/api/v1/damaged", params={"kind": kind})).json()
            assert (await api.http.delete(f"/api/v1/damaged/{kind}/{row['id']}")).status_code == 204
            assert (await api.http.delete(f"/api/v1/damaged/{kind}/{row['id']}")).status_code == 404
        assert (await api.http.delete("/api/v1/jobs/broken-end")).status_code == 204
        assert (await api.http.delete(f"/api/v1/jobs/{ids['broken-queued']}")).status_code == 204
        assert (await api.http.delete(f"/api/v1/damaged/job/{ids['text']}")).status_code == 204
        await api.submit(name="broken-end")
        assert (await api.http.get("/api/v1/jobs")).json()["damaged"] == []


async def test_text_that_is_not_utf8_is_not_shown_as_other_text(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)) as api:
        await api.submit(name="it", where={"gpu": "none"})
    write(settings.home, "UPDATE jobs SET document = replace(document, 'print', cast(x'e9' AS TEXT))")
    async with opened(Server(settings)) as api:
        page = (await api.http.get("/api/v1/jobs")).json()
        assert page["jobs"] == []
        assert [row["name"] for row in page["damaged"]] == ["it"]
        assert (await api.http.delete("/api/v1/jobs/it")).status_code == 204


async def test_a_job_with_an_infinite_number_from_an_older_server_can_be_deleted(tmp_path: Path) -> None:
    """Given a null, which an older server stored for `"lr": Infinity`."""
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)) as api:
        await api.submit(name="it", parameters={"lr": 0.5})
    write(settings.home, """UPDATE jobs SET document = replace(document, '"lr":0.5', '"lr":null')""")
    async with opened(Server(settings)) as api:
        (row,) = (await api.http.get("/api/v1/jobs")).json()["damaged"]
        assert row["reason"] == "spec.parameters.lr: Value error, a parameter is text, a number, true or false"
        assert (await api.http.delete("/api/v1/jobs/it")).status_code == 204
    async with opened(Server(settings)) as api:
        page = (await api.http.get("/api/v1/jobs")).json()
        assert page["jobs"] == page["damaged"] == []


async def test_a_damaged_job_is_not_deleted_while_another_needs_its_checkpoint(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)) as api:
        worker = await api.worker()
        source = await api.submit(name="source")
        await api.server.scheduler.schedule()
        await worker.claim(source["id"])
        saved = CheckpointPartStored(step=3, rank=0)
        facts = (RankStarted(rank=0, pid=1), saved, *finished_rank(), OutputsStored(), Released())
        await api.server.recorder.record([worker.a_report(source["id"], *facts, last=True)])
        await api.submit(name="fork", from_checkpoint="source", where={"gpu": "none"})
    write(settings.home, "UPDATE jobs SET document = '{' WHERE name = 'source'")
    async with opened(Server(settings)) as api:
        assert (await api.http.get("/api/v1/jobs/source")).status_code == 409
        refused = await api.http.delete("/api/v1/jobs/source")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert refused.json()["detail"].startswith("Job fork started from a checkpoint of job source.")
        await api.http.post("/api/v1/jobs/fork/cancel")
        while api.server.jobs.unsettled.started_from(source["id"]):
            await asyncio.sleep(0.01)
        assert (await api.http.delete("/api/v1/jobs/source")).status_code == 204


BLOBS = {
    "worker": "INSERT INTO workers VALUES (x'ff', 'ready', 1, '{}')",
    "worker with a good document": "UPDATE workers SET id = x'ff'",
    "worker whose id is no UTF-8": "UPDATE workers SET id = cast(x'ff' AS TEXT)",
    "worker with a slash in its id": "UPDATE workers SET id = 'w/1'",
    "worker without text": "INSERT INTO workers VALUES (x'', 'ready', x'ff', x'ff')",
    "dataset": "INSERT INTO datasets VALUES ('', x'ff', '{}')",
    "job": "UPDATE jobs SET id = x'ff'",
    "job's name": "UPDATE jobs SET name = x'ff', document = '{'",
    "attempt": "INSERT INTO attempts VALUES ('JOB', 'x', '{}')",
    "attempt's blob": "INSERT INTO attempts VALUES ('JOB', x'ff', '{}')",
}


@pytest.mark.parametrize("name", BLOBS)
async def test_a_row_whose_key_is_not_text_is_shown_and_deleted(tmp_path: Path, name: str) -> None:
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)) as api:
        await api.worker()
        job = await api.submit(name="one", where={"gpu": "none"})
    write(settings.home, BLOBS[name].replace("JOB", job["id"]))
    async with opened(Server(settings)) as api:
        for noun in ("jobs", "workers", "datasets", "jobs/one/logs"):
            assert (await api.http.get(f"/api/v1/{noun}")).status_code in (200, 404, 409), noun
        await api.server.backends.database.attempts(job["id"])
        (row,) = (await api.http.get("/api/v1/damaged")).json()
        assert row["reason"]
        answer = await api.http.delete(f"/api/v1/damaged/{row['kind']}/{quote(row['id'])}")
        assert answer.status_code == 204, answer.text
    async with opened(Server(settings)) as api:
        await api.http.get("/api/v1/jobs")
        await api.server.backends.database.attempts(job["id"])
        assert (await api.http.get("/api/v1/damaged")).json() == []


@pytest.mark.parametrize("document", ["{}", b"\xff", "null"])
async def test_a_damaged_installation_is_named_with_what_to_do(tmp_path: Path, document: object) -> None:
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)):
        pass
    write(settings.home, "UPDATE installation SET document = ? WHERE key = 'installation'", document)
    with pytest.raises(SettingInvalid, match=r"headway.db .*row `installation` is damaged.* `headway restore`"):
        async with opened(Server(settings)):
            pass


async def test_a_database_without_its_installation_does_not_blame_an_unset_setting(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    async with opened(Server(settings)):
        pass
    write(settings.home, "DELETE FROM installation")
    with pytest.raises(SettingInvalid) as caught:
        async with opened(Server(settings)):
            pass
    assert caught.value.message.startswith(f"Objects are stored in file://{settings.home / 'objects'}. ")
    assert "`headway restore`" in caught.value.message


async def test_a_damaged_job_of_another_project_looks_absent(api: Api) -> None:
    job = (await api.submit(name="theirs", where={"gpu": "none"}))["id"]
    home = api.server.settings.home
    write(home, "UPDATE jobs SET document = '{', project = 'other' WHERE id = ?", job)
    api.server.jobs.unsettled.forget(job)
    for reference in (job, "theirs"):
        answer, absent = [await api.http.get(f"/api/v1/jobs/{one}") for one in (reference, "j-absent")]
        assert (answer.status_code, absent.status_code) == (404, 404)
        assert answer.text.replace(reference, "j-absent") == absent.text
    assert (await api.http.get("/api/v1/jobs")).json()["damaged"] == []
    (row,) = (await api.http.get("/api/v1/damaged")).json()
    assert (row["id"], row["project"]) == (job, "other")
