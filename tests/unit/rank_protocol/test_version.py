"""Two Headways with different versions of the rank protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import headway
from headway.errors import CannotStartRanks, EnvironmentFailed, WorkerOutdated
from headway.rank_protocol.launcher_messages import AllGone, ForkserverReady, encode_message
from headway.rank_protocol.rank_variables import RANK_PROTOCOL as PROTOCOL_VARIABLE
from headway.rank_protocol.rank_variables import RUN_FILE
from headway.rank_protocol.version import RANK_PROTOCOL, mismatch_with_worker, own_version, version_variables
from headway.training import run as run_module
from headway.worker.forkserver_version import refusal

PYTHON = "/venv/bin/python"


def ready(**changes: object) -> bytes:
    return encode_message(ForkserverReady(*own_version()._replace(**changes)))  # type: ignore[arg-type]


def test_a_forkserver_of_the_same_protocol_is_accepted() -> None:
    """A forkserver of another release, in any folder, is accepted as well."""
    assert refusal(ready(), PYTHON) is None
    assert refusal(ready(release="9.9.9", package="/venv/headway"), PYTHON) is None


def test_a_forkserver_of_another_protocol_is_refused_with_both_versions() -> None:
    error = refusal(ready(protocol=7, release="9.9.9", package="/venv/headway"), PYTHON)
    assert isinstance(error, EnvironmentFailed)
    assert str(error) == (
        f"{PYTHON} has Headway 9.9.9 in /venv/headway, with version 7 of the rank protocol; the worker's "
        f"Headway {headway.__version__} has version {RANK_PROTOCOL}. Install headway=={headway.__version__} there, "
        "or take Headway out of the environment: the worker brings its own"
    )


def test_a_headway_that_was_installed_over_the_running_one_is_the_workers_own_fault() -> None:
    error = refusal(ready(protocol=7, release="9.9.9"), PYTHON)
    assert isinstance(error, WorkerOutdated)
    assert isinstance(error, CannotStartRanks)
    assert str(error) == (
        f"Headway 9.9.9 was installed over this worker's {headway.__version__} while it ran; restart the worker"
    )


@pytest.mark.parametrize("said", [b"W", b"\xff", b'{"kind": "Ready", "protocol": 1}\n', encode_message(AllGone(False))])
def test_a_forkserver_that_does_not_report_its_version_is_refused(said: bytes) -> None:
    error = refusal(said, PYTHON)
    assert isinstance(error, EnvironmentFailed)
    assert f"does not report its version. Install headway=={headway.__version__} there" in str(error)


def test_a_rank_of_its_worker_and_a_script_outside_headway_may_record() -> None:
    assert mismatch_with_worker({}) is None
    assert mismatch_with_worker({RUN_FILE: "/run", **version_variables()}) is None


def test_a_rank_of_a_worker_without_a_version_says_so() -> None:
    words = mismatch_with_worker({RUN_FILE: "/run", "RANK": "3"})
    assert words is not None
    assert words.startswith(f"the process of rank 3 has Headway {headway.__version__} in ")
    assert "the worker's Headway (an older one) has version 0" in words


def test_a_run_of_another_protocol_is_recorded_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a worker of a newer protocol, when a script asks for its run, then the worker is told why it fails."""
    path = tmp_path / "rank-0.run"
    for name, value in {RUN_FILE: str(path), **version_variables(), PROTOCOL_VARIABLE: "7", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFailed, match="has version 7"):
        run_module.Run.of_rank()
    record = json.loads(path.read_text())
    assert (record["type"], record["environment"]) == ("rank_error", True)
    assert "has version 7" in record["error"]
