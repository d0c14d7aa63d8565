"""Watches the checkpoint directory of a program that does not call Headway, and keeps its files as a checkpoint."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Collection
from pathlib import Path

from headway.core.facts import CheckpointNotSaved
from headway.errors import TooLarge
from headway.rank_protocol.checkpoint_files import pack_files, signature
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.paths import saved_part
from headway.worker.checkpoints import SavedPart
from headway.worker.read_watch import ReadWatch

_log = logging.getLogger(__name__)
_QUIET_SECONDS = 0.5
"""How long files must stay unchanged before they count as complete."""
_RESTLESS_SECONDS = 30.0
_NUMBER = re.compile(r"\d{1,15}")
_EXITING = 0x4
"""The flag of a process that is ending (PF_EXITING, see proc_pid_stat(5))."""


class CheckpointWatch:
    """Takes all files of the directory when they have changed, have then stayed unchanged, and no process has one open
    for writing.

    A process that is killed closes its files, even incomplete ones. So nothing is taken while a rank is ending, and a
    writer that has gone counts as a change. `left_out`: links that the newest part does not contain, because they lead
    out of the directory.
    """

    def __init__(
        self, folder: Path, attempt_folder: Path, restored: ReadWatch | None = None, *, last_count: int = 0
    ) -> None:
        """`restored` watches whether ranks read the files that they start from. Packing does not count as reading.

        `last_count`: the step of the checkpoint that they start from, if that is a count.
        """
        self.folder = folder
        self._attempt_folder = attempt_folder
        self._restored = restored
        self._taken = self._seen = signature(folder)
        self._seen_at = 0.0
        self._writers: frozenset[int] = frozenset()
        self._restless_since: float | None = None
        self._last_step: int | None = None
        self._last_count = last_count
        self._looked_at = 0.0
        self._warned = False
        self.left_out: tuple[str, ...] = ()

    async def look(
        self, logged_step: int | None, ranks: Collection[int], *, now: float, final: bool = False
    ) -> SavedPart | CheckpointNotSaved | None:
        """A new part, if there is one; or, once, the fact that the files change too often to be taken.

        `ranks`: the pids of running ranks. `now`: seconds on the monotonic clock. `final`: all ranks have ended well,
        so nothing is being written. A part's step is the last number in the newest name that has one, else the last
        logged step, else a count.
        """
        if not final and now - self._looked_at < _QUIET_SECONDS:
            return None
        self._looked_at = now
        try:
            part = await asyncio.to_thread(self._take, logged_step, ranks, final)
        except OSError as error:  # for example, the disk is full
            _log.warning("The checkpoint files in %s were not taken: %s", self.folder, error)
            return None
        if part is None and self._restless(now) and not self._warned:
            self._warned = True
            words = "its files never stayed unchanged for half a second in half a minute. Write them less often, or "
            words += "tell Headway when they are complete: run.save(folder, step)."
            return CheckpointNotSaved(step=logged_step or 0, rank=0, error=words)
        return part

    def _take(
        self, logged_step: int | None, ranks: Collection[int], final: bool
    ) -> SavedPart | CheckpointNotSaved | None:
        now = signature(self.folder)
        if not now or now == self._taken:
            self._seen = now
            return None
        if self._restless_since is None:
            self._restless_since = self._looked_at
        writers = frozenset() if final else _writers(self.folder)
        if (now, writers) != (self._seen, self._writers):
            self._seen, self._writers, self._seen_at = now, writers, self._looked_at
        quiet = not writers and self._looked_at - self._seen_at >= _QUIET_SECONDS
        # Check the ranks last: if a rank still lives now, the files that it has open were open before as well.
        if not final and not (quiet and all(_lives(pid) for pid in ranks)):
            return None
        told = self._told_step(logged_step)
        step = self._last_count + 1 if told is None else told
        path = saved_part(self._attempt_folder, step, 0)
        if self._restored is not None:
            self._restored.look()
        try:
            self.left_out = pack_files(self.folder, path, tuple(name for name, *_ in now))
        except FileNotFoundError:
            return None  # a file disappeared meanwhile: try again
        except TooLarge as error:
            self._taken, self._restless_since = now, None
            return CheckpointNotSaved(step=step, rank=0, error=str(error))
        finally:
            if self._restored is not None:
                self._restored.look(own=True)
        if signature(self.folder) != now:
            path.unlink()
            return None
        self._taken, self._restless_since = now, None
        if told is None:
            self._last_count = step
        else:
            self._last_step = step
        return SavedPart(rank=0, step=step, saved_at=time.time(), kind=PartKind.FILES, counted=told is None)

    def _restless(self, now: float) -> bool:
        """Whether the files changed so often that for a long time none could be taken."""
        return self._restless_since is not None and now - self._restless_since > _RESTLESS_SECONDS

    def _told_step(self, logged_step: int | None) -> int | None:
        files = [path for path in self.folder.iterdir() if not path.is_symlink()]
        newest_first = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        numbers = next((found for path in newest_first if (found := _NUMBER.findall(path.stem))), None)
        step = int(numbers[-1]) if numbers else logged_step
        if step is None or self._last_step is None:
            return step
        return max(step, self._last_step + 1)


def _writers(folder: Path) -> frozenset[int]:
    """The processes that have a file of the folder open for writing. Only known on Linux."""
    if sys.platform != "linux":
        return frozenset()
    inside = f"{folder.resolve()}{os.sep}"
    return frozenset(int(process.name) for process in Path("/proc").glob("[0-9]*") if _writes(process, inside))


def _writes(process: Path, inside: str) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False  # it ended, or belongs to another user
    for descriptor in descriptors:
        try:
            if os.readlink(descriptor).startswith(inside) and _for_writing(process / "fdinfo" / descriptor.name):
                return True
        except OSError:
            continue  # closed meanwhile
    return False


def _for_writing(information: Path) -> bool:
    for line in information.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return bool(int(value, 8) & (os.O_WRONLY | os.O_RDWR))
    return False


def _lives(pid: int) -> bool:
    """Whether a process lives and is not ending. Only known on Linux."""
    if sys.platform != "linux":
        return True
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state != "Z" and not int(fields[5]) & _EXITING
