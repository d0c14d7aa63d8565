"""The same training, with a worker killed in the middle, on each set of backends that users run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import headway
from headway.drill.checks import broken_invariants, weights_of
from tests.fleet import Fleet, ended, wait_until
from tests.services import SETS, settings_of_set

SOURCE = (Path(headway.__file__).parent / "drill" / "training.py").read_text()


@pytest.fixture(params=SETS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A server and three workers on one set."""
    with (
        settings_of_set(request.param, tmp_path) as settings,
        Fleet(tmp_path, heartbeat_seconds=0.7, lease_seconds=3, **settings) as fleet,
    ):
        fleet.start_server()
        for name in ("one", "two", "spare"):
            fleet.start_worker(name, slots=1)
        fleet.wait_for_workers(3)
        yield fleet


def test_a_training_survives_the_loss_of_a_worker(fleet: Fleet) -> None:
    spec = {"world_size": 2, "workers": 2}
    alone = ended(fleet.script(SOURCE, **spec))
    assert alone.status == "succeeded", alone.data
    job = fleet.script(SOURCE, **spec)
    wait_until(lambda: any(one["steps"][-1] > 60 for one in job.metrics(["train/loss"]).series), "some steps")
    fleet.kill(job.refresh().data["attempt"]["assignments"][1]["worker_name"])
    assert ended(job).status == "succeeded", job.data
    assert broken_invariants(job, weights_of(alone)) == []
    assert [one["reason"] for one in job.attempts()] == ["worker_lost", "completed"]
