"""A launcher's messages from before its end are read, whatever is sent to it meanwhile."""

from __future__ import annotations

import asyncio
import socket

import pytest

from headway.rank_protocol.launcher_messages import AllGone, RankExited, encode_message
from headway.worker.launcher import Launcher

pytestmark = pytest.mark.anyio
EXITED = RankExited(
    rank=0,
    at=1.0,
    exit_code=0,
    signal=None,
    stopped=False,
    signalled=False,
    out_of_memory=False,
    machine_out_of_memory=False,
    peak_memory_bytes=None,
)


async def test_the_end_of_a_rank_is_heard_after_a_stop_that_came_too_late() -> None:
    """Given a launcher that reported an end and has ended, when it is told to stop, then its report is not lost."""
    for _ in range(20):
        ours, theirs = socket.socketpair()
        launcher = Launcher(ours)
        theirs.sendall(encode_message(EXITED) + encode_message(AllGone(never_met=False)))
        theirs.close()
        await launcher.stop(1.0)
        await asyncio.sleep(0)
        assert await launcher.message() == EXITED
        await launcher.stop(1.0)
        assert await launcher.message() == AllGone(never_met=False)
        assert await launcher.message() is None
        await launcher.end(0.0)
