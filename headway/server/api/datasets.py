"""Datasets and their blocks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from headway.core.dataset import Dataset
from headway.server.access import Action
from headway.server.api.common import Allow, ServerHere

router = APIRouter(tags=["datasets"], dependencies=[Depends(Allow(Action.DATASETS_READ))])


@router.get("/datasets")
async def list_datasets(server: ServerHere) -> list[Dataset]:
    """The registered datasets. Built-in ones are registered at their first use."""
    return server.datasets.list()


@router.get("/blocks/{sha256}", response_class=Response)
async def get_block(sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], server: ServerHere) -> Response:
    """The compressed bytes of one block."""
    return Response(await server.datasets.block(sha256), media_type="application/zstd")
