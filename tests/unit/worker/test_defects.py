"""Whatever goes wrong in one attempt, it ends, its slots are free, and nothing in the worker waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from headway.core.facts import CheckpointNotSaved, Released
from headway.core.protocol import Claimed
from headway.errors import CannotStartRanks
from headway.rank_protocol.paths import saved_part
from headway.worker import launcher as launcher_module
from headway.worker.attempt_files import attempt_folder, finish_stream, remove_attempt
from headway.worker.builds import run_build
from headway.worker.checkpoints import CheckpointSender, SavedPart
from headway.worker.counters import WorkerCounters
from headway.worker.fact_queue import FactQueue
from headway.worker.launcher import Launcher
from headway.worker.launcher_watch import LauncherWatch
from headway.worker.process_tree import end_tree
from headway.worker.spool import SpooledStream, leftover_streams, stream_folder
from headway.worker.survivors import end_survivors
from tests.unit.example_plan import PLAN
from tests.unit.worker.fake_attempt import KEY, claimed, reports

pytestmark = pytest.mark.anyio


# Launchers


async def test_a_launcher_that_does_not_come_to_life_costs_its_attempt_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the forkserver is stopped: nobody ever reads or answers."""
    monkeypatch.setattr(launcher_module, "_START_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    launcher = Launcher(ours)
    with theirs, pytest.raises(CannotStartRanks, match="the launcher does not start"):
        await launcher.begin(replace(PLAN, arguments=["x" * 5_000_000]))
    await launcher.end(0.0)


async def test_a_launcher_that_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher_module, "_SEND_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    launcher = Launcher(ours)
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(b"x" * 65_536)
    async with asyncio.timeout(5):
        await launcher.stop(1.0)
        await launcher.stop(1.0)
        await launcher.end(0.05)
        await launcher.stop(1.0)  # too late, and no error
    theirs.close()


@pytest.mark.parametrize("words", [b"no message\n", b"x" * (3 << 20), b"\xff\n"])
async def test_a_launcher_that_talks_nonsense_counts_as_gone(words: bytes) -> None:
    ours, theirs = socket.socketpair()
    launcher = Launcher(ours)
    sending = asyncio.create_task(asyncio.to_thread(_send_all, theirs, words))
    async with asyncio.timeout(10):
        assert await launcher.message() is None
    await launcher.end(0.0)
    await sending


def _send_all(end: socket.socket, words: bytes) -> None:
    with end, contextlib.suppress(OSError):
        end.sendall(words)


def test_a_launcher_is_stuck_when_its_ranks_had_to_end_or_are_long_gone() -> None:
    living = {1, 2}
    watch = LauncherWatch(living.__contains__)
    assert watch.stuck([1, 2], 100.0) is None
    living.clear()
    assert watch.stuck([1, 2], 103.0) is None
    assert watch.stuck([1, 2], 109.0) is None
    watch.heard()
    assert watch.stuck([1, 2], 114.0) is None
    assert watch.stuck([1, 2], 120.0) is None
    assert watch.stuck([], 123.0) is None, "all ends are told, it only has to go"
    assert watch.stuck([2], 126.0) is None
    assert watch.stuck([2], 137.0) == "its ranks are gone, and it has not told of that"
    watch = LauncherWatch(lambda pid: True)
    watch.stops(20.0, 100.0)
    watch.stops(1.0, 105.0)
    assert watch.stuck([1], 115.0) is None
    assert watch.stuck([1], 116.0) == "it has not ended its ranks in time"


def test_a_stopped_process_and_all_below_it_are_ended() -> None:
    """Also what is stopped itself, and what has begun a session of its own."""
    source = (
        "import os, signal, subprocess, sys, time\n"
        "children = [subprocess.Popen(['sleep', '600'], start_new_session=new) for new in (False, True)]\n"
        "os.kill(children[0].pid, signal.SIGSTOP)\n"
        "print('ready', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
        assert len(family) == 3
        assert end_tree(root)
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)


# Checkpoints and environments


async def test_a_part_that_is_no_file_does_not_keep_the_others_back(tmp_path: Path) -> None:
    class Connection:
        async def store_checkpoint_part(self, _claimed: Claimed, step: int, rank: int, path: Path, **_: Any) -> None:
            assert path.is_file()
            if step == 3:
                raise RuntimeError("a defect")

    facts = FactQueue()
    sender = CheckpointSender(claimed(), tmp_path, Connection(), facts)  # type: ignore[arg-type]
    for step in range(1, 5):
        path = saved_part(tmp_path, step, 0)
        path.parent.mkdir(parents=True)
        if step == 1:
            path.mkdir()
        elif step == 2:
            path.symlink_to(tmp_path / "nowhere")
        else:
            path.write_text("state")
        sender.add(SavedPart(0, step, 0.0))
    sending = asyncio.create_task(sender.run())
    async with asyncio.timeout(10):
        await sender.wait()
    sending.cancel()
    assert [fact.step for fact in facts.waiting() if isinstance(fact, CheckpointNotSaved)] == [1, 2, 3]
    assert len(facts) == 4


async def test_a_build_may_print_whatever_it_likes() -> None:
    lines: list[str] = []
    source = "import sys; sys.stdout.write('x' * 300_000 + chr(10) + 'end'); sys.stdout.flush()"
    kept = await run_build([sys.executable, "-c", source], Path.cwd(), lines.append)
    assert "".join(lines) == "x" * 300_000 + "end"
    assert kept[-1] == "end"


async def test_a_build_that_is_given_up_ends_with_what_it_started() -> None:
    source = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    lines: list[str] = []
    running = asyncio.create_task(run_build([sys.executable, "-c", source], Path.cwd(), lines.append))
    async with asyncio.timeout(30):
        while not lines:
            await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        while psutil.pid_exists(int(lines[0])) and psutil.Process(int(lines[0])).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)


# The next start


def test_a_worker_starts_whatever_lies_in_its_home(tmp_path: Path) -> None:
    (tmp_path / "spool" / "odd").mkdir(parents=True)
    (tmp_path / "spool" / "a.b.c").mkdir()
    (tmp_path / "spool" / "file.1.w").write_text("")
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    stream.append((), [], [], {})
    folder = attempt_folder(tmp_path, KEY)
    folder.mkdir(parents=True)
    (folder / "rank-x.log").write_text("")
    (folder / "rank-0.log").write_text("printed\n")
    os.mkfifo(folder / "rank-1.log")
    for content in ("no json", "[1, 2]", '{"a": "b"}', '{"99999999999999999999": 1}'):
        other = tmp_path / "attempts" / f"other-{len(content)}"
        other.mkdir()
        (other / "processes.json").write_text(content)
    end_survivors(tmp_path)
    (found,) = leftover_streams(tmp_path)
    finish_stream(tmp_path, found, WorkerCounters())
    assert found.ended
    assert reports(stream_folder(tmp_path, KEY))[-1].facts == (Released(),)


def test_files_without_permissions_are_deleted_with_their_attempt(tmp_path: Path) -> None:
    inner = attempt_folder(tmp_path, KEY) / "output" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    inner.parent.chmod(0)
    remove_attempt(tmp_path, KEY)
    assert not attempt_folder(tmp_path, KEY).exists()
