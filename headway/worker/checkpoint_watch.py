"""Watches the directory of a program that only writes files, and keeps what it wrote as a checkpoint."""

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
"""How long nothing may change before what is there is taken for whole."""
_RESTLESS_SECONDS = 30.0
_NUMBER = re.compile(r"\d{1,15}")
_EXITING = 0x4
"""Flag of a process that ends (PF_EXITING, see proc_pid_stat(5))."""


class CheckpointWatch:
    """Takes the directory's files, all or nothing, when they have changed and then been quiet, and no process has
    one open for writing.

    A process that is killed closes its files, however much of them it had written. So nothing is taken while a rank
    ends, and a writer that is gone counts as a change. `left_out`: links that the newest part does not have, as they
    lead out of the directory.
    """

    def __init__(
        self, folder: Path, attempt_folder: Path, restored: ReadWatch | None = None, *, last_count: int = 0
    ) -> None:
        """`restored` watches whether ranks read the files that they start from; packing these is none of it.

        `last_count`: of the checkpoint that they start from, if its step is a count.
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
        """A new part, if there is one to take; once, the fact that the files change too often for that.

        `ranks`: the pids of those that run; `now`: seconds on the monotonic clock; `final`: all ranks have ended well,
        so that nothing is being written. A part's step is the last number in the newest name that has one, else the
        step that was logged last, else a count.
        """
        if not final and now - self._looked_at < _QUIET_SECONDS:
            return None
        self._looked_at = now
        try:
            part = await asyncio.to_thread(self._take, logged_step, ranks, final)
        except OSError as error:  # as when the disk is full
            _log.warning("The checkpoint files in %s were not taken: %s", self.folder, error)
            return None
        if part is None and self._restless(now) and not self._warned:
            self._warned = True
            words = "its files have not been quiet for half a second in half a minute. Write them less often, or say "
            words += "when they are whole: run.save(folder, step)."
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
        # The ranks are looked at last: what a rank that lives now had open, it had open before.
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
            return None  # a file went away meanwhile: look again
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
        """Whether the files change so often that nothing could be taken for long."""
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
    """The processes that have a file of the folder open for writing; known on Linux only."""
    if sys.platform != "linux":
        return frozenset()
    inside = f"{folder.resolve()}{os.sep}"
    return frozenset(int(process.name) for process in Path("/proc").glob("[0-9]*") if _writes(process, inside))


def _writes(process: Path, inside: str) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False  # it ended, or is another user's
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
    """Whether a process lives and is not about to end; known on Linux only."""
    if sys.platform != "linux":
        return True
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state != "Z" and not int(fields[5]) & _EXITING
