"""Checkpoints on the worker: sends saved parts to the server, and fetches the parts that ranks start from."""

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
"""How many bytes may wait on the disk while the server is down or slow. Beyond that, older steps are dropped."""


@dataclass(frozen=True)
class SavedPart:
    """A part on this machine's disk: see CheckpointPart and CheckpointPartStored."""

    rank: int
    step: int
    saved_at: float
    kind: PartKind = PartKind.STATE
    replica: bool = False
    counted: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


class CheckpointSender:
    """Sends the parts of one attempt, one after the other, while training continues. It reports the result of each as a
    fact."""

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
        """Queue a part that a rank has written to the disk. Older parts may be dropped for it."""
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
                words = "this and newer checkpoints wait for the server and use too much of the worker's disk"
                _log.warning("The checkpoint of step %d, rank %d, was dropped: %s", *key, words)
                self._facts.put(CheckpointNotSaved(step=step, rank=key[1], error=words))

    async def run(self) -> None:
        """Send forever. A part that the server refuses is dropped: its attempt has ended."""
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
            except (
                Conflict,
                TokenExpired,
            ) as error:  # the attempt has ended: the server refuses the other parts as well
                _log.warning("Checkpoints of job %s are no longer stored: %s", self._claimed.job, error)
                for step, rank in self._waiting:
                    _remove(saved_part(self._folder, step, rank))
                self._waiting.clear()
            except Exception as error:  # any error: the next part may succeed
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
    """Write the checkpoint that the ranks start from into `folder`; checkpoint files of programs into `files_folder`.

    A description lies beside the parts. Raises CheckpointCorrupt if a part is missing, changed, or of a newer format.
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
            f"its part of rank {rank} has format {part.format}, but this worker's Headway reads formats up to "
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
    with suppress(OSError):  # a rank may have put anything in its place
        path.unlink()
