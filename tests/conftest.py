"""Fixtures that all suites share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services
from tests.fleet import Fleet

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
"""Tests share the cores: a thread of one rank that spins for the others would take them from other tests' ranks."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of modules that use the real servers take turns, in one process: some kill a server that others use."""
    for item in items:
        named = vars(item.module).values() if isinstance(item, pytest.Function) else ()
        if any(getattr(one, "__module__", None) == services.__name__ for one in named):
            item.add_marker(pytest.mark.xdist_group("services"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One server and two warm workers with two slots each, for tests that harm neither."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.start_worker("two", slots=2)
        fleet.wait_for_workers(2)
        yield fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of the test's own, with nothing started yet."""
    with Fleet(tmp_path) as fleet:
        yield fleet
