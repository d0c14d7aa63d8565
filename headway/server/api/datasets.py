"""Datasets and their blocks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Depends, Path, Request, Response
from pydantic import BaseModel

from headway.core.dataset import Block, Dataset, RegisteredDataset
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.files import ARCHIVE
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(tags=["datasets"])
READ = [Depends(Allow(Action.DATASETS_READ))]
READ_BLOCK = [Depends(Allow(Action.BLOCKS_READ))]
WRITE = [Depends(Allow(Action.DATASETS_WRITE))]
WRITE_INDEX = [Depends(Allow(Action.DATASETS_WRITE, maximum_body_bytes=32 << 20))]
WRITE_BLOCK = [Depends(Allow(Action.DATASETS_WRITE, maximum_body_bytes=None))]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the block's compressed bytes.")]


class Missing(BaseModel):
    """The hashes of the blocks that have to be sent."""

    missing: list[str]


@router.get("/datasets", dependencies=READ)
async def list_datasets(caller: CallerHere, project: ProjectHere, server: ServerHere) -> list[Dataset]:
    """The registered datasets. A built-in one is registered at its first use."""
    return server.datasets.list(caller, project)


@router.get("/datasets/{dataset}", dependencies=READ)
async def get_dataset(dataset: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> RegisteredDataset:
    """One registered dataset, and who registered it."""
    return server.datasets.get(caller, project, dataset)


@router.delete("/datasets/{dataset}", dependencies=WRITE, status_code=204)
async def delete_dataset(dataset: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> None:
    """Delete a dataset of the project, unless unfinished jobs use it. Built-in datasets cannot be deleted.

    Models and ended jobs stay. The stored data is deleted after a day if no other dataset has it.
    """
    await server.datasets.delete(caller, project, dataset)


@router.post("/datasets/missing", dependencies=WRITE)
async def find_missing_blocks(
    blocks: Annotated[list[Block], Body(max_length=5000)], caller: CallerHere, project: ProjectHere, server: ServerHere
) -> Missing:
    """Which of these blocks have to be sent, because the project does not have them yet."""
    return Missing(missing=sorted(await server.blocks.missing(caller, project, blocks)))


@router.post("/datasets", dependencies=WRITE_INDEX, status_code=201)
async def add_dataset(dataset: Dataset, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Dataset:
    """Register a dataset whose blocks have been sent."""
    return await server.datasets.add(caller, project, dataset)


@router.put("/blocks/{sha256}", dependencies=WRITE_BLOCK, status_code=204)
async def store_block(
    sha256: Sha256, request: Request, caller: CallerHere, project: ProjectHere, server: ServerHere
) -> None:
    """Store a block's compressed bytes."""
    await server.blocks.store(caller, project, sha256, request.stream())


@router.get("/blocks/{sha256}", dependencies=READ_BLOCK, response_class=Response, responses=ARCHIVE)
async def get_block(sha256: Sha256, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Response:
    """The compressed bytes of one block. A worker gets them only while it has claimed a job that uses their dataset."""
    return Response(await server.datasets.block(caller, project, sha256), media_type="application/zstd")
