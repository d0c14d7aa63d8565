"""Messages between a worker and its launchers."""

from __future__ import annotations

import pytest

from headway.errors import Corrupt
from headway.rank_protocol.launcher_messages import (
    AllGone,
    CommandEnded,
    FromLauncher,
    LauncherStarted,
    RankExited,
    RanksStarted,
    RunCommand,
    Stop,
    ToLauncher,
    decode_message,
    encode_message,
)

MESSAGES = [
    LauncherStarted(7),
    RanksStarted(7, [8, 9]),
    RankExited(1, 2.5, None, "SIGKILL", True, False, False, True, 1 << 20),
    CommandEnded("i-1", None, "no such program"),
    AllGone(never_met=True),
    Stop(20.0),
    RunCommand("i-1", 0, ["nvidia-smi", "-L"], 30.0, "/attempt/i-1.output"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_sent(message: FromLauncher | ToLauncher) -> None:
    line = encode_message(message)
    assert line.count(b"\n") == 1
    assert decode_message(line) == message
    assert type(decode_message(line)) is type(message)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"kind": "Stop"}', "a message Stop lacks the field grace_seconds"),
        (b'{"kind": "Stop", "grace_seconds": 1, "soon": true}', "has the field soon, which this Headway does not know"),
        (b'{"kind": "Hop"}', "is a kind of message that this Headway does not know"),
        (b'{"kind": ["Stop"]}', "is a kind of message that this Headway does not know"),
        (b'{"grace_seconds": 1}', "is a kind of message that this Headway does not know"),
        (b"[]", "is not a message"),
        (b"W", "is not a message"),
        (b"\xff", "is not a message"),
    ],
)
def test_unknown_messages_and_fields_are_named(line: bytes, problem: str) -> None:
    with pytest.raises(Corrupt, match=problem):
        decode_message(line)
