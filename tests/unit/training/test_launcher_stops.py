"""How a launcher asks its ranks to end."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from headway.rank_protocol.launcher_messages import Stop, encode_message
from headway.training import launcher
from headway.training.finished_ranks import FinishedRanks
from headway.training.launcher import _Rank, _signal_rank, _Watch
from tests.unit.example_plan import PLAN


def test_ranks_that_save_are_asked_to_end_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given ranks that were asked to end, when the worker repeats the request, then they get no second SIGTERM."""
    sent: list[int] = []
    monkeypatch.setattr(launcher, "_reap", list)
    monkeypatch.setattr(_Watch, "_signal_ranks", lambda _, number: sent.append(number))
    ours, theirs = socket.socketpair()
    nobody: Any = None
    with ours, theirs:
        watch = _Watch(theirs, PLAN, {7: _Rank(0, None)}, FinishedRanks(tmp_path, 1), tmp_path / "going", nobody)
        for _ in range(3):
            ours.sendall(encode_message(Stop(20.0)))
            assert watch._obey()
        assert sent == [signal.SIGTERM, signal.SIGCONT]
        ours.sendall(encode_message(Stop(0.0)))
        assert watch._obey()
        assert sent[2:] == [signal.SIGKILL]


@pytest.mark.parametrize("grouped", [True, False])
def test_a_rank_gets_each_signal_once(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a rank with a process group, or without one yet, when it is signalled, then it gets one signal."""
    sent: list[int] = []

    def kill_group(pid: int, number: int) -> None:
        if not grouped:
            raise ProcessLookupError
        sent.append(number)

    monkeypatch.setattr(os, "killpg", kill_group)
    monkeypatch.setattr(os, "kill", lambda _pid, number: sent.append(number))
    _signal_rank(4711, signal.SIGTERM)
    assert sent == [signal.SIGTERM]
