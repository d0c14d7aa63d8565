"""Every backend that can be configured runs in the suite of its kind."""

from __future__ import annotations

from headway.backend_registry import BACKENDS
from tests.conformance.backends import RUNS


def test_no_registered_backend_is_left_out_of_its_suite() -> None:
    """The worker's side of a broker runs in the broker's suite."""
    kinds = {kind: set(schemes) for kind, schemes in BACKENDS.items() if kind != "worker_broker"}
    assert {kind: set(runs) for kind, runs in RUNS.items()} == kinds
    assert BACKENDS["worker_broker"].keys() == BACKENDS["broker"].keys() - {"embedded"}
