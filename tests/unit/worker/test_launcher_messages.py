"""What a launcher said before it ended is heard, whatever is said to it meanwhile."""

from __future__ import annotations

import asyncio
import socket

import pytest

from headway.worker.launcher import Launcher

pytestmark = pytest.mark.anyio


async def test_the_end_of_a_rank_is_heard_after_a_stop_that_came_too_late() -> None:
    """Given a launcher that reported an end and is gone, when it is told to stop, then its report is not lost."""
    for _ in range(20):
        ours, theirs = socket.socketpair()
        launcher = Launcher(ours)
        theirs.sendall(b'{"ended": 0}\n{"gone": true}\n')
        theirs.close()
        await launcher.stop(1.0)
        await asyncio.sleep(0)
        assert await launcher.message() == {"ended": 0}
        await launcher.stop(1.0)
        assert await launcher.message() == {"gone": True}
        assert await launcher.message() is None
        await launcher.end(0.0)
