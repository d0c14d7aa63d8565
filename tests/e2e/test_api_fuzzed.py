"""Schemathesis calls a real server by the API document: no answer is a defect or undocumented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fleet import Fleet

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
DESCRIPTION = {"name": "w", "slots": 1, "threads_per_slot": 1, "host": "127.0.0.1", "port": 9}
CONFIG = """
# Streams that end with the server or the job only; what they refuse is tested in tests/api.
[[operations]]
include-path = ["/api/v1/events", "/api/v1/jobs/{{job}}/follow", "/api/v1/live"]
enabled = false

# It revokes the token of all other requests.
[[operations]]
include-name = "DELETE /api/v1/session"
enabled = false

[[operations]]
include-path-regex = "/attempts/"
headers = {{ Authorization = "Bearer {rank}" }}
parameters = {{ "path.job" = "{job}", "path.attempt" = 1, "path.step" = 1, "path.rank" = 0 }}

[[operations]]
include-path-regex = "/workers/.worker./[a-z]"
headers = {{ Authorization = "Bearer {token}" }}
parameters = {{ "path.worker" = "{worker}", "path.assigned_job" = "{job}", "path.assigned_attempt" = 1 }}

[headers]
Authorization = "Bearer {user}"

[parameters]
"path.job" = "it"

[phases.coverage]
unexpected-methods = []
"""


def post(fleet: Fleet, token: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{fleet.url}/api/v1/{path}", json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.timeout(700)
def test_no_request_gets_a_defect_or_an_undocumented_answer(tmp_path: Path) -> None:
    """Given a job that a worker claimed, users, workers and ranks call every route, with good and bad values."""
    with Fleet(tmp_path, lease_seconds=3600) as fleet:
        fleet.start_server()
        user, join = ((fleet.home / name).read_text().strip() for name in ("user.token", "worker.token"))
        worker = post(fleet, join, "workers", {"worker": DESCRIPTION})
        job = post(fleet, user, "jobs", {"name": "it", "script": "s.py", "source": "1"})["id"]
        claim = f"workers/{worker['id']}/assignments/{job}/1/claim"
        rank = post(fleet, worker["token"], claim, {"endpoint": "127.0.0.1:1"})["rank_token"]
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG.format(user=user, rank=rank, token=worker["token"], worker=worker["id"], job=job))
        ran = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "run",
                f"{fleet.url}/openapi.json", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful",
                "--generation-deterministic", "--max-examples", "2", "--continue-on-failure",
                "--request-timeout", "60", "--no-color",
            ],
            capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path,
            env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
        assert "A defect in" not in fleet.log("server")
        assert httpx.get(f"{fleet.url}/health").json()["damaged_rows"] == 0
        fleet.kill("server")
        fleet.start_server()
