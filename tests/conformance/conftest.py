"""Each backend that the registry names, opened for the suite of its kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.backend_registry import backend
from headway.database.base import Database
from tests.conformance.backends import run, schemes


@pytest.fixture(params=schemes("database"))
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with run("database", request.param, tmp_path) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database: Database = backend("database", database_url)(database_url)
    await database.open()
    yield database
    await database.close()
