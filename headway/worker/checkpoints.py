"""Checkpoints on the worker: what ranks saved is sent to the server; what they are to start from is fetched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from headway.core.checkpoint import CheckpointPart
from headway.core.facts import CheckpointPartStored
from headway.core.protocol import Claimed
from headway.errors import CheckpointCorrupt, HeadwayError, NotFound, Unavailable
from headway.worker.connection import Connection
from headway.worker.transfers import write_chunks

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5


class CheckpointSender:
    """Sends the parts of one attempt, one after the other, while training goes on."""

    def __init__(self, claimed: Claimed, folder: Path, connection: Connection) -> None:
        self._claimed = claimed
        self._folder = folder
        self._connection = connection
        self._waiting: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    def add(self, rank: int, step: int) -> None:
        """The rank has written its part of a step to its disk."""
        self._waiting.put_nowait((rank, step))

    async def run(self, stored: Callable[[CheckpointPartStored], None]) -> None:
        """Send for ever. What the server does not want is dropped: the attempt has ended."""
        while True:
            rank, step = await self._waiting.get()
            path = saved_path(self._folder, step, rank)
            try:
                while not await self._sent(rank, step, path):
                    await asyncio.sleep(_RETRY_SECONDS)
                stored(CheckpointPartStored(step=step, rank=rank))
            except (HeadwayError, OSError) as error:
                _log.warning("The checkpoint of step %d, rank %d, was not stored: %s", step, rank, error)
            finally:
                path.unlink(missing_ok=True)
                self._waiting.task_done()

    async def _sent(self, rank: int, step: int, path: Path) -> bool:
        try:
            await self._connection.store_checkpoint_part(self._claimed, step, rank, path)
            return True
        except Unavailable as error:
            _log.warning("A checkpoint waits for the server: %s", error)
            return False

    async def wait(self) -> None:
        """Return once everything that was added has been sent."""
        await self._waiting.join()


async def fetch_checkpoint(claimed: Claimed, folder: Path, connection: Connection) -> None:
    """Write what each rank is to start from into `folder`. Raises CheckpointCorrupt: a part is missing or changed."""
    checkpoint = claimed.checkpoint
    if checkpoint is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for rank in range(claimed.first_rank, claimed.first_rank + claimed.rank_count):
        part = claimed.checkpoint_parts.get(checkpoint.part_of(rank))
        if part is None:
            raise CheckpointCorrupt(f"its part of rank {checkpoint.part_of(rank)} is missing")
        await _fetch(claimed, part, folder / f"rank-{rank}", connection)


async def _fetch(claimed: Claimed, part: CheckpointPart, path: Path, connection: Connection) -> None:
    try:
        with path.open("wb") as file:
            sha256 = await write_chunks(connection.checkpoint_part(claimed, part), file)
    except NotFound as error:
        raise CheckpointCorrupt(f"its part of rank {part.rank} is missing") from error
    if sha256 != part.sha256:
        raise CheckpointCorrupt(f"its part of rank {part.rank} does not match its hash")


def saved_path(folder: Path, step: int, rank: int) -> Path:
    """Where a rank writes its part of a step."""
    return folder / "checkpoints" / str(step) / f"rank-{rank}"
