"""Launchers that do not start, do not read, or send invalid messages block nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace

import pytest

from headway.errors import CannotStartRanks
from headway.worker import launcher as launcher_module
from headway.worker.launcher import Launcher
from tests.unit.example_plan import PLAN

pytestmark = pytest.mark.anyio


# Launchers


async def test_a_launcher_that_does_not_start_costs_only_its_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, the forkserver is stopped: no process reads or answers."""
    monkeypatch.setattr(launcher_module, "_START_SECONDS", 0.1)
    ours, theirs = socket.socketpair()
    launcher = Launcher(ours)
    with theirs, pytest.raises(CannotStartRanks, match="the launcher does not start"):
        await launcher.begin(replace(PLAN, arguments=["x" * 5_000_000]))
    await launcher.end(0.0)


async def test_a_launcher_that_does_not_read_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
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
async def test_a_launcher_that_sends_invalid_messages_counts_as_gone(words: bytes) -> None:
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
