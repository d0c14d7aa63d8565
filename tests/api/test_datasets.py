"""Datasets over HTTP: added by their blocks, checked, built in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headway.core.job import JobSpec
from headway.formats import blocks
from headway.formats.dataset_files import describe, prepare
from headway.server.server import Server
from headway.server.startup import started
from headway.settings import Settings
from tests.api.conftest import Api

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
