"""Checkpoints on the worker: what ranks saved is sent to the server; what they are to start from is fetched."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from headway.core.checkpoint import Checkpoint, CheckpointPart
from headway.core.facts import CheckpointNotSaved, CheckpointPartStored
from headway.core.protocol import Claimed
from headway.errors import CheckpointCorrupt, Conflict, NotFound, TokenExpired, Unavailable
from headway.rank_protocol.checkpoint_files import unpack_files
from headway.rank_protocol.checkpoint_parts import CHECKPOINT_FORMAT, PartKind
from headway.rank_protocol.paths import restored_part, saved_part
from headway.rank_protocol.record_bounds import clean_text
from headway.rank_protocol.restored_checkpoint import RestoredCheckpoint, write_restored
from headway.worker.connection import Connection
from headway.worker.fact_queue import FactQueue
from headway.worker.regular_files import size_of
from headway.worker.transfers import write_chunks

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_MAXIMUM_WAITING_BYTES = 4 << 30
_LEAST_WAITING_STEPS = 2
"""What may wait on the disk for a server that is away, or slower than the ranks save; older steps are dropped."""


@dataclass(frozen=True)
class SavedPart:
    """A part that lies on this machine's disk: see CheckpointPart and CheckpointPartStored."""

    rank: int
    step: int
    saved_at: float
    kind: PartKind = PartKind.STATE
    replica: bool = False
    counted: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


class CheckpointSender:
    """Sends the parts of one attempt, one after the other, while training goes on. What became of them are facts."""

    def __init__(self, claimed: Claimed, folder: Path, connection: Connection, facts: FactQueue) -> None:
        self._claimed = claimed
        self._folder = folder
        self._connection = connection
        self._facts = facts
        self._waiting: dict[tuple[int, int], SavedPart] = {}
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, part: SavedPart) -> None:
        """The rank has written its part of a step to its disk. Older ones may be dropped for it."""
        self._waiting[part.step, part.rank] = part
        self._idle.clear()
        self._news.set()
        sizes = {key: size_of(saved_part(self._folder, *key)) for key in self._waiting}
        for step in sorted({step for step, _ in self._waiting})[:-_LEAST_WAITING_STEPS]:
            if sum(sizes[key] for key in self._waiting) <= _MAXIMUM_WAITING_BYTES:
                break
            for key in [key for key in self._waiting if key[0] == step]:
                del self._waiting[key]
                _remove(saved_part(self._folder, *key))
                words = "it and newer ones wait for the server, and take too much of the worker's disk"
                _log.warning("The checkpoint of step %d, rank %d, was dropped: %s", *key, words)
                self._facts.put(CheckpointNotSaved(step=step, rank=key[1], error=words))

    async def run(self) -> None:
        """Send for ever. What the server does not want is dropped: the attempt has ended."""
        while True:
            while not self._waiting:
                self._idle.set()
                self._news.clear()
                await self._news.wait()
            part = self._waiting.pop(min(self._waiting))
            path = saved_part(self._folder, part.step, part.rank)
            try:
                size_bytes = path.stat().st_size
                while not await self._sent(part, path):
                    await asyncio.sleep(_RETRY_SECONDS)
                self._facts.put(
                    CheckpointPartStored(
                        step=part.step,
                        rank=part.rank,
                        kind=part.kind,
                        size_bytes=size_bytes,
                        saved_at=part.saved_at,
                        counted=part.counted,
                        metrics=part.metrics,
                    )
                )
            except (Conflict, TokenExpired) as error:  # the attempt has ended: what else waits is not wanted either
                _log.warning("Checkpoints of job %s are not stored any more: %s", self._claimed.job, error)
                for step, rank in self._waiting:
                    _remove(saved_part(self._folder, step, rank))
                self._waiting.clear()
            except Exception as error:  # whatever it is, the next part may go better
                _log.warning("The checkpoint of step %d, rank %d, was not stored: %s", part.step, part.rank, error)
                self._facts.put(CheckpointNotSaved(step=part.step, rank=part.rank, error=clean_text(str(error))[:1000]))
            finally:
                _remove(path)

    async def _sent(self, part: SavedPart, path: Path) -> bool:
        try:
            await self._connection.store_checkpoint_part(
                self._claimed, part.step, part.rank, path, kind=part.kind, replica=part.replica
            )
            return True
        except Unavailable as error:
            _log.warning("A checkpoint waits for the server: %s", error)
            return False

    async def wait(self) -> None:
        """Return once everything that was added has been sent."""
        await self._idle.wait()


async def fetch_checkpoint(claimed: Claimed, folder: Path, files_folder: Path, connection: Connection) -> None:
    """Write what the ranks are to start from into `folder`; files that they saved as such into `files_folder`.

    Beside the parts lies what says what they are. Raises CheckpointCorrupt: a part is missing,
    changed, or of a newer format.
    """
    checkpoint = claimed.checkpoint
    if checkpoint is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (
        checkpoint.needed_parts(claimed.ranks)
        if checkpoint.kind is PartKind.SHARDS
        else set(map(checkpoint.part_of, claimed.ranks))
    )
    parts = {rank: _part(claimed, rank) for rank in sorted(wanted)}
    if any(part.replica for part in parts.values()):
        parts[0] = _part(claimed, 0)
    for rank, part in parts.items():
        path = restored_part(folder, rank)
        await _fetch(claimed, checkpoint, part, path, connection)
        if part.kind is not PartKind.STATE:
            archive = path.rename(folder / "archive")
            await asyncio.to_thread(unpack_files, archive, files_folder if part.kind is PartKind.FILES else folder)
            archive.unlink()
    write_restored(folder, RestoredCheckpoint(checkpoint.step, checkpoint.world_size, checkpoint.kind))


def _part(claimed: Claimed, rank: int) -> CheckpointPart:
    part = claimed.checkpoint_parts.get(rank)
    if part is None:
        raise CheckpointCorrupt(f"its part of rank {rank} is missing")
    if part.format > CHECKPOINT_FORMAT:
        raise CheckpointCorrupt(
            f"its part of rank {rank} has format {part.format}, and this worker's Headway reads up to "
            f"{CHECKPOINT_FORMAT}: update the worker"
        )
    return part


async def _fetch(
    claimed: Claimed, checkpoint: Checkpoint, part: CheckpointPart, path: Path, connection: Connection
) -> None:
    try:
        with path.open("wb") as file:
            sha256 = await write_chunks(connection.checkpoint_part(claimed, part, checkpoint.job), file)
    except NotFound as error:
        raise CheckpointCorrupt(f"its part of rank {part.rank} is missing") from error
    if sha256 != part.sha256:
        raise CheckpointCorrupt(f"its part of rank {part.rank} does not match its hash")


def _remove(path: Path) -> None:
    with suppress(OSError):  # a rank may have put anything there
        path.unlink()
