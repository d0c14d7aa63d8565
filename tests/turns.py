"""In which order the processes of a parallel run take tests, so that no process stands still for another's servers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

CHECKOUT = Path(__file__).parent.parent
SERVERS, CLUSTER = "servers", "cluster"


class TakingTurns(LoadScopeScheduling):
    """Each test runs in a free process, but tests that cannot run in parallel run in a single one.

    These are the tests that disturb the real servers, Kafka's, because all tests share its topics, and the tests of the
    Kubernetes cluster, of which some need it for themselves. The tests of a file that share a fixture run in one, too:
    otherwise each process would start the fleet again.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False  # the order of the tests is ours, not that of the largest groups
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return process_of(nodeid)


def order(nodeid: str) -> int:
    """Tests with a lower number start earlier.

    First those that run in one process, of them first those that disturb servers: the other processes need no server
    meanwhile. Then the long ones, so that none is left for the end. Short ones fill the end.
    """
    process = process_of(nodeid)
    if process in (SERVERS, CLUSTER):
        return 0 if _disturbs_servers(nodeid) else 1
    if _uses_servers(nodeid):
        return 3
    return 2 if nodeid.startswith(("tests/e2e/", "tests/faults/")) else 4


@cache
def process_of(nodeid: str) -> str:
    """Tests with the same answer run in one process."""
    if "from tests.cluster import" in _content(nodeid) or nodeid.startswith("tests/conformance/test_engines.py::"):
        return CLUSTER
    alone = "kafka" in nodeid.lower() or _disturbs_servers(nodeid) or "Proxies(" in _content(nodeid)
    if alone and _uses_servers(nodeid):
        return SERVERS
    return nodeid.partition("::")[0] if 'fixture(scope="module")' in _content(nodeid) else nodeid


def _uses_servers(nodeid: str) -> bool:
    return "from tests.services import" in _content(nodeid) or nodeid.startswith("tests/conformance/")


def _disturbs_servers(nodeid: str) -> bool:
    return "disturbs_servers" in _content(nodeid)


def _content(nodeid: str) -> str:
    return _read(nodeid.partition("::")[0])


@cache
def _read(path: str) -> str:
    return (CHECKOUT / path).read_text()
