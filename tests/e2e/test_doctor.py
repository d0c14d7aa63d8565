"""`headway doctor` finds wrong configurations, and names the fix."""

from __future__ import annotations

import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headway.server.access import Caller, CallerKind
from headway.server.tokens import Tokens
from tests.fleet import Fleet
from tests.services import database_for_processes, service_url

Problems = list[dict[str, str]]
Environment = dict[str, str]


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server without workers."""
    with Fleet(tmp_path_factory.mktemp("lonely")) as fleet:
        fleet.start_server()
        yield fleet


@pytest.fixture
def quick_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake torch, because these tests do not need torch and its import takes longer than everything else."""
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "torch.py").write_text("class cuda:\n    is_available = staticmethod(lambda: False)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "quick"))


def doctor(fleet: Fleet, **changes: str | None) -> tuple[int, Problems]:
    environment: Environment = {**os.environ, "HEADWAY_HOME": str(fleet.home), "HEADWAY_SERVER_URL": fleet.url}
    for name, value in changes.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    command = [sys.executable, "-m", "headway", "doctor", "--json"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return ran.returncode, json.loads(ran.stdout)


def found(problems: Problems, words: str, cure: str) -> bool:
    return any(words in one["problem"] and cure in one["cure"] for one in problems)


@pytest.mark.usefixtures("quick_torch")
def test_backends_that_cannot_be_reached_are_named_with_their_setting(shared_fleet: Fleet) -> None:
    urls = {
        "HEADWAY_DATABASE_URL": "postgresql://someone:hunter2@127.0.0.1:9/headway",
        "HEADWAY_BROKER_URL": "amqp://someone:hunter2@127.0.0.1:9/",
        "HEADWAY_CACHE_URL": "redis://someone:hunter2@127.0.0.1:9/0",
        "HEADWAY_ENGINE_URLS": "local:,kubernetes:?kubeconfig=/nope/config",
    }
    status, problems = doctor(shared_fleet, **urls)
    assert status == 1
    for setting, scheme in (
        ("HEADWAY_DATABASE_URL", "postgresql"),
        ("HEADWAY_WAKEUPS_URL", "amqp"),
        ("HEADWAY_CACHE_URL", "redis"),
    ):
        assert found(problems, f"{setting} is {scheme}://someone:***@127.0.0.1:9/", "correct the address"), problems
    assert found(problems, "Kubeconfig file /nope/config cannot be read", "kubectl get pods"), problems
    assert "hunter2" not in json.dumps(problems)


def test_healthy_backends_have_no_problems(shared_fleet: Fleet) -> None:
    with database_for_processes("postgresql", shared_fleet.folder) as url:
        kafka = service_url("KAFKA_URL")
        assert doctor(shared_fleet, HEADWAY_DATABASE_URL=url, HEADWAY_BROKER_URL=kafka) == (0, [])
        migrated = shared_fleet.command("migrate", HEADWAY_DATABASE_URL=url)
        assert migrated.returncode == 0, migrated.stderr
        assert "is up to date." in migrated.stdout
        assert "headway-secret" not in migrated.stdout


def test_a_healthy_fleet_has_no_problems(shared_fleet: Fleet) -> None:
    assert doctor(shared_fleet) == (0, [])
    assert "No problems found." in shared_fleet.command("doctor").stdout


@pytest.mark.usefixtures("quick_torch")
def test_jobs_of_another_engine_need_no_worker(lonely: Fleet) -> None:
    assert doctor(lonely, HEADWAY_ENGINE_URLS="local:", HEADWAY_DEFAULT_ENGINE="local") == (0, [])


@pytest.mark.usefixtures("quick_torch")
def test_no_worker(lonely: Fleet) -> None:
    status, problems = doctor(lonely)
    assert status == 1
    assert found(problems, "No worker is connected", "Start one: headway worker --server http://127.0.0.1:")


@pytest.mark.parametrize(
    ("changes", "words", "cure"),
    [
        ({"HEADWAY_LEASE_SECS": "3"}, "HEADWAY_LEASE_SECS is not a setting", "unset it"),
        ({"HEADWAY_LEASE_SECONDS": "soon"}, "HEADWAY_LEASE_SECONDS is 'soon'", "Correct the variable"),
        ({"HEADWAY_ORPHAN_TIMEOUT_SECONDS": "900"}, "it must be below HEADWAY_SETTLE_SECONDS", "Correct the variable"),
        ({"HEADWAY_DATASET_DIRECTORIES": "/nope/data"}, "names /nope/data, which is not a folder", "mkdir /nope/data"),
        ({"HEADWAY_SERVER_URL": "http://127.0.0.1:9"}, "No server answers at http://127.0.0.1:9", "headway up"),
        ({"HEADWAY_SERVER_URL": "127.0.0.1:8420"}, "which is not an http address", "Write http://HOST:8420"),
        (
            {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""},
            "HTTP_PROXY sends requests for 127.0.0.1",
            "NO_PROXY=",
        ),
        ({"HEADWAY_HOME": "/nope/home"}, "There is no token: /nope/home/user.token does not exist", "HEADWAY_TOKEN"),
        ({"HEADWAY_HOME": "/dev/null"}, "is not a folder that you can write to", "Set HEADWAY_HOME"),
    ],
)
@pytest.mark.usefixtures("quick_torch")
def test_variables_that_are_wrong(lonely: Fleet, changes: dict[str, str], words: str, cure: str) -> None:
    status, problems = doctor(lonely, **changes)
    assert status == 1
    assert found(problems, words, cure), problems


@pytest.mark.usefixtures("quick_torch")
def test_a_token_of_another_installation(lonely: Fleet) -> None:
    other = Tokens("another secret", time.time).make(Caller(CallerKind.USER))
    _, problems = doctor(lonely, HEADWAY_TOKEN=other)
    assert found(problems, "it belongs to another installation", "Copy user.token from that server's home")


@pytest.mark.usefixtures("quick_torch")
def test_secrets_that_others_can_read(lonely: Fleet) -> None:
    (lonely.home / "secret").chmod(0o644)
    _, problems = doctor(lonely)
    (lonely.home / "secret").chmod(0o600)
    assert found(problems, "secret can be read by others", f"chmod 600 {lonely.home}/secret")


@pytest.mark.usefixtures("quick_torch")
def test_a_database_of_a_newer_version(fleet: Fleet) -> None:
    fleet.home.mkdir()
    with closing(sqlite3.connect(fleet.home / "headway.db")) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    _, problems = doctor(fleet)
    assert found(problems, "was written by a newer Headway (schema 9999", "pip install --upgrade headway")


@pytest.mark.usefixtures("quick_torch")
def test_something_else_at_the_servers_address(fleet: Fleet) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        _, problems = doctor(fleet, HEADWAY_SERVER_URL=url)
        server.shutdown()
    assert found(problems, f"The server at {url} is not Headway", "Set HEADWAY_SERVER_URL")


@pytest.mark.usefixtures("quick_torch")
def test_too_few_open_files(shared_fleet: Fleet) -> None:
    environment = {**os.environ, "HEADWAY_HOME": str(shared_fleet.home), "HEADWAY_SERVER_URL": shared_fleet.url}
    command = f"ulimit -Sn 256; exec {sys.executable} -m headway doctor"
    ran = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "A process may open only 256 files." in ran.stdout
    assert "-> ulimit -n" in ran.stdout
