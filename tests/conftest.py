"""Fixtures that all suites share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from xdist.remote import Producer

from tests.fleet import Fleet
from tests.servers_lock import servers_of_a_test
from tests.turns import TakingTurns, order

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
"""Tests share the cores: threads of one test's ranks must not spin, or they slow down the ranks of other tests."""


_PROCESSES_PER_CORE = 3
"""Most tests wait most of the time: for leases, grace times, polls, and processes that start."""
_PROCESS_BYTES = 1 << 30
"""The memory of a test's server, two workers with torch, and ranks."""
_SHOWN_CHARACTERS = 8_000


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many tests run at once: limited by the cores and the memory."""
    cores = psutil.cpu_count() or 1
    return max(1, min(_PROCESSES_PER_CORE * cores, psutil.virtual_memory().available // _PROCESS_BYTES, 12))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TakingTurns:
    return TakingTurns(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # in a process of a parallel run
        items.sort(key=lambda item: order(item.nodeid))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for locks before the test starts, so that its timeout does not count the wait."""
    with servers_of_a_test(disturbs=item.get_closest_marker("disturbs_servers") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes of a failed test's fleet logged last."""
    report = yield
    fleet = getattr(item, "funcargs", {}).get("fleet")
    if report.when == "call" and report.failed and isinstance(fleet, Fleet):
        report.sections += [(f"Log of {name}", fleet.log(name)[-_SHOWN_CHARACTERS:]) for name in fleet.processes]
    return report


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One server and two warm workers with two slots each, for tests that do not harm them."""
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.start_worker("two", slots=2)
        fleet.wait_for_workers(2)
        yield fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet for one test, with nothing started yet."""
    with Fleet(tmp_path) as fleet:
        yield fleet
