"""Detects from the kernel's connection tables whether ranks met."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway.rank_protocol.paths import meeting_mark
from headway.training.meeting import Meeting, connected, mark_meeting
from tests.unit.example_plan import PLAN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs some code, once it has printed a line. It ends with the context."""
    command = [sys.executable, "-c", f"import socket, sys\n{code}\nprint(1, flush=True)\nsys.stdin.read()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, *map(str, arguments)], text=True, **pipes) as found:  # type: ignore[call-overload]
        try:
            assert found.stdout.readline() == "1\n"
            yield found
        finally:
            found.kill()


CONNECT = "kept = socket.create_connection((sys.argv[1], int(sys.argv[2])))"


@pytest.mark.parametrize(("bound", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")])
def test_a_connection_between_two_ranks_is_a_meeting(bound: str, address: str) -> None:
    """Even if one end uses the IPv4 address and the other the IPv6 form."""
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family, dualstack_ipv6=bound == "::") as listener:
        port = listener.getsockname()[1]
        with process(CONNECT, address, port) as other:
            kept, _ = listener.accept()
            with kept:
                assert connected([os.getpid(), other.pid], frozenset())


def test_a_ranks_own_children_are_not_others() -> None:
    """Given a rank connected only to its own child, and a rank without connections, they never met."""
    own = """
import subprocess
listener = socket.create_server(("127.0.0.1", 0))
code = "import socket, sys, time; kept = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code, str(listener.getsockname()[1])])
kept = listener.accept()
"""
    with process(own) as first, process("") as second:
        assert not connected([first.pid, second.pid], frozenset())


def test_a_connection_elsewhere_may_be_a_meeting_unless_its_port_is_ignored() -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        with process(CONNECT, "127.0.0.1", port) as rank:
            assert connected([rank.pid], frozenset())
            assert not connected([rank.pid], frozenset({port}))


def test_an_ended_process_has_no_connections() -> None:
    """Even while its parent has not waited for it."""
    rank = subprocess.Popen(["true"])
    os.waitid(os.P_PID, rank.pid, os.WEXITED | os.WNOWAIT)
    assert not connected([rank.pid], frozenset())
    rank.wait()
    assert not connected([rank.pid], frozenset())


class Store:
    def __init__(self, keys: int) -> None:
        self.keys = keys

    def num_keys(self) -> int:
        return self.keys


@pytest.mark.parametrize(
    ("keys", "marked", "changes", "never_met"),
    [
        (0, False, {}, True),
        (3, False, {}, False),  # they met in the store
        (0, True, {}, False),  # a rank said so
        (0, False, {"command": ["./a"]}, True),  # even if it ended at once
        (0, False, {"world_size": 1}, False),
    ],
)
def test_any_sign_of_a_meeting_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keys: int,
    marked: bool,
    changes: dict[str, Any],
    never_met: bool,
) -> None:
    monkeypatch.setattr("headway.training.meeting._connections", lambda *_: [])  # hides other processes
    plan = replace(PLAN, **{"folder": tmp_path, "world_size": 2, **changes})
    meeting = Meeting(plan, Store(keys))
    if marked:
        meeting_mark(tmp_path).touch()
    assert meeting.never_met() is never_met


def test_a_rank_marks_a_connection_that_is_open_at_its_end(tmp_path: Path) -> None:
    code = "from pathlib import Path\nfrom headway.training.meeting import mark_meeting\n"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for name, url, marks in (("others", "http://h:1", True), ("the server", f"http://127.0.0.1:{port}", False)):
            folder = tmp_path / name
            folder.mkdir()
            with process(
                f"{code}{CONNECT}\nmark_meeting(Path(sys.argv[3]), sys.argv[4])", "127.0.0.1", port, folder, url
            ):
                assert meeting_mark(folder).exists() is marks
    mark_meeting(tmp_path / "missing", "")  # a mark that cannot be written is not an error


@pytest.mark.parametrize(
    ("connect", "marks"),
    [
        ("socket.create_connection(address).close()", True),
        ("socket.socket().connect_ex(address)", True),
        ("socket.create_connection(server).close()", False),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(address)", False),
        ("socket.socket(socket.AF_UNIX).connect_ex('nowhere')", False),
    ],
)
def test_a_rank_marks_a_connection_that_it_has_for_a_moment(tmp_path: Path, connect: str, marks: bool) -> None:
    code = """
from pathlib import Path
from headway.training.meeting import mark_connections
address, server = ("127.0.0.1", int(sys.argv[2])), ("127.0.0.1", int(sys.argv[3]))
mark_connections(Path(sys.argv[1]), f"http://127.0.0.1:{sys.argv[3]}")
"""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as server:
        ports = other.getsockname()[1], server.getsockname()[1]
        with process(code + connect, tmp_path, *ports):
            assert meeting_mark(tmp_path).exists() is marks


def test_a_kernel_without_connection_tables_breaks_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a machine where /proc/net cannot be read, when ranks of a command end, then there is no warning."""

    def refuse(*_: object) -> None:
        raise PermissionError("/proc/net/tcp")

    monkeypatch.setattr("headway.training.meeting._connections", refuse)
    monkeypatch.setattr("headway.training.meeting._FIRST_LOOK_SECONDS", 0.0)
    plan = replace(PLAN, folder=tmp_path, command=["./a"], world_size=2)
    meeting = Meeting(plan, None)
    meeting.look([os.getpid()])
    assert not meeting.never_met()


def test_a_connection_that_was_closed_makes_a_command_unsure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(PLAN, folder=tmp_path, command=["./a"], world_size=2)
    meeting = Meeting(plan, None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = socket.create_connection(listener.getsockname())
        second, _ = listener.accept()
        first.close()
        assert second.recv(1) == b""
        second.close()
    assert not meeting.never_met()
    assert Meeting(replace(plan, command=[]), None).never_met()
