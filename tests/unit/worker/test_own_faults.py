"""Which failures to prepare are a worker's own fault."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from headway.errors import CannotStartRanks, Corrupt, EnvironmentFailed, Unavailable
from headway.worker.forkserver import Forkserver
from headway.worker.own_faults import is_own_fault

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (CannotStartRanks("the forkserver does not start"), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EROFS, "Read-only file system"), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (ExceptionGroup("blocks", [OSError(errno.ENOSPC, "No space left"), OSError(errno.ENOSPC, "again")]), True),
        (OSError(errno.EISDIR, "Is a directory"), False),  # the job's files cause that
        (EnvironmentFailed("no such package"), False),
        (Corrupt("a block does not match its hash"), False),
        (Unavailable("no server"), False),
    ],
)
async def test_errors_of_the_machine_are_the_workers_own_faults(error: Exception, own: bool) -> None:
    assert is_own_fault(error) is own


async def test_an_interpreter_that_is_missing_is_named(tmp_path: Path) -> None:
    forkserver = Forkserver(1, tmp_path / "python")
    running = asyncio.create_task(forkserver.run())
    with pytest.raises(CannotStartRanks, match=r"does not start: .*/python cannot be run: No such file or directory"):
        await forkserver.wait_until_warm()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
