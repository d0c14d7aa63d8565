"""Fixtures that end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headway.client import Client
from tests.fleet import Fleet


@pytest.fixture
def client(shared_fleet: Fleet) -> Iterator[Client]:
    with shared_fleet.client() as client:
        yield client
