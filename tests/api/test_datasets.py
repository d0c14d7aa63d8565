"""Datasets over HTTP: added by their blocks, checked, built in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.core.job import JobSpec
from headway.errors import InvalidInput
from headway.formats import blocks
from headway.formats.dataset_files import describe, prepare
from headway.server.server import Server
from headway.server.startup import started
from headway.settings import Settings
from tests.api.conftest import PROJECT, USER, Api
from tests.api.test_projects import a_dataset, send

pytestmark = pytest.mark.anyio


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


TRAINING: dict[str, Any] = {"trainer": "mlp", "dataset": "mine"}
PATH = "/api/v1/datasets/mine"


async def add(api: Api) -> None:
    """Register a dataset `mine`."""
    dataset, contents = a_dataset("mine")
    await send(api.server, PROJECT, contents)
    await api.server.datasets.add(USER, PROJECT, dataset)


async def test_a_dataset_is_deleted_once_no_unfinished_job_uses_it(api: Api) -> None:
    await add(api)
    shown = (await api.http.get(PATH)).json()
    assert (shown["name"], shown["added_by"]) == ("mine", "")
    assert shown["added_at"] > 1e9
    for name in ("first", "paused"):
        assert (await api.http.post("/api/v1/jobs", json={**TRAINING, "name": name})).status_code == 201
    await api.http.post("/api/v1/jobs/paused/pause")
    used = await api.http.delete(PATH)
    assert (used.status_code, used.json()["code"]) == (409, "conflict")
    assert used.json()["detail"].startswith("Unfinished jobs use dataset mine: paused, first. Cancel them")
    for name in ("first", "paused"):
        await api.http.post(f"/api/v1/jobs/{name}/cancel")
    assert [(await api.http.delete(PATH)).status_code for _ in range(2)] == [204, 404]
    assert (await api.http.get(PATH)).status_code == 404
    assert (await api.http.get("/api/v1/datasets")).json() == []
    assert (await api.http.post("/api/v1/jobs", json=TRAINING)).status_code == 422
    deleted = [one for one in (await api.http.get("/api/v1/audit")).json() if one["detail"] == "deleted"]
    assert {(one["action"], one["subject"]) for one in deleted} == {("datasets.write", "dataset mine")}
    with pytest.raises(InvalidInput, match="blocks that were not sent"):
        await api.server.datasets.add(USER, PROJECT, a_dataset("mine")[0])
    await add(api)
    assert (await api.http.post("/api/v1/jobs", json=TRAINING)).status_code == 201


async def test_a_built_in_dataset_cannot_be_deleted(api: Api) -> None:
    await api.server.datasets.find(PROJECT, "digits")
    refused = await api.http.delete("/api/v1/datasets/digits")
    assert (refused.status_code, "is built in" in refused.json()["detail"]) == (409, True)
    assert (await api.http.get("/api/v1/datasets/digits")).status_code == 200


def held(call: Callable[..., Coroutine[Any, Any, Any]]) -> tuple[Callable[..., Any], asyncio.Event, asyncio.Event]:
    """The call, which waits for the second event; the first says that it was made."""
    begun, continued = asyncio.Event(), asyncio.Event()

    async def waits(*arguments: Any) -> Any:
        begun.set()
        await continued.wait()
        return await call(*arguments)

    return waits, begun, continued


async def test_a_dataset_is_kept_while_a_job_on_it_is_submitted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a submission that was checked but is not stored, then a deletion is refused, and the job has its data."""
    await add(api)
    database = api.server.backends.database
    insert, begun, continued = held(database.insert_job)
    monkeypatch.setattr(database, "insert_job", insert)
    submission = asyncio.create_task(api.http.post("/api/v1/jobs", json={**TRAINING, "name": "one"}))
    await begun.wait()
    refused = await api.http.delete(PATH)
    assert (refused.status_code, "is being submitted" in refused.json()["detail"]) == (409, True)
    continued.set()
    assert (await submission).status_code == 201
    assert "use dataset mine: one" in (await api.http.delete(PATH)).json()["detail"]


async def test_a_job_submitted_during_a_deletion_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(api)
    database = api.server.backends.database
    deletion, begun, continued = held(database.delete_dataset)
    monkeypatch.setattr(database, "delete_dataset", deletion)
    deleting = asyncio.create_task(api.http.delete(PATH))
    await begun.wait()
    submission = asyncio.create_task(api.http.post("/api/v1/jobs", json=TRAINING))
    await asyncio.sleep(0)
    continued.set()
    assert (await deleting).status_code == 204
    refused = await submission
    assert (refused.status_code, "Dataset mine does not exist" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"splits": {}}, "it needs train and test"),
        ({"name": "../x"}, "name: '../x' is not allowed as a name"),
        ({"classes": 0}, "classes: 0 is too small; give a number from 1 to 2,147,483,648"),
    ],
)
async def test_an_inconsistent_index_is_refused(api: Api, changes: dict[str, object], words: str) -> None:
    index = {"name": "mine", "classes": 2, "splits": {}, "mean": 0.0, "deviation": 1.0, "full_scale": 1.0}
    response = await api.http.post("/api/v1/datasets", json={**index, **changes})
    assert response.status_code == 422
    assert words in response.json()["detail"]


async def test_a_built_in_dataset_without_files_says_where_to_get_it(tmp_path: Path) -> None:
    server = Server(Settings(home=tmp_path / "home", dataset_directories=(tmp_path,)))
    async with started(server):
        with pytest.raises(Exception, match="Fetch them with `headway datasets add mnist`") as caught:
            await server.specs.check("default", JobSpec(trainer="cnn", dataset="mnist"))
    assert caught.value.code == "dataset_missing"


async def test_a_trainer_refuses_a_dataset_that_it_cannot_train_on(api: Api) -> None:
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
