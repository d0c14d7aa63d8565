"""When files of a program count as complete, with a fake clock and real processes that write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headway.worker import checkpoint_watch
from headway.worker.checkpoint_watch import CheckpointWatch
from headway.worker.checkpoints import SavedPart

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows which process has a file open"),
]


class Watched:
    """A directory that is checked once a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "files"
        self.folder.mkdir()
        self._watch = CheckpointWatch(self.folder, folder / "attempt")
        self._now = 100.0

    async def taken(self, *ranks: int, final: bool = False) -> int | None:
        """The step of the part that this check takes; None if it takes none."""
        self._now += 1.0
        part = await self._watch.look(None, ranks, now=self._now, final=final)
        return part.step if isinstance(part, SavedPart) else None


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a file open and has written half of it. It exits with 0 when its input ends."""
    script = 'exec 3> "$0"; echo half >&3; echo there; read line; exit 0'
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", script, str(path)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("name", "logged", "told"),
    [
        ("state-7", 3, (7, False)),
        ("model.pt", 3, (3, False)),
        ("model.pt", 0, (0, False)),
        ("model.pt", None, (5, True)),
    ],
)
async def test_the_step_comes_from_a_name_or_the_log_or_is_counted(
    tmp_path: Path, name: str, logged: int | None, told: tuple[int, bool]
) -> None:
    """Given an attempt that starts from the fourth save, when files are taken, then the part says whether its step is a
    count.
    """
    (tmp_path / "files").mkdir()
    watch = CheckpointWatch(tmp_path / "files", tmp_path / "attempt", last_count=4)
    (tmp_path / "files" / name).write_text("weights")
    part = await watch.look(logged, (), now=1.0, final=True)
    assert isinstance(part, SavedPart)
    assert (part.step, part.counted) == told


async def test_files_are_taken_once_when_they_are_unchanged_and_closed(watched: Watched) -> None:
    (watched.folder / "state-7").write_text("whole")
    with writing(watched.folder / "state-8") as writer:
        for _ in range(3):
            assert await watched.taken(os.getpid()) is None
        writer.communicate()
    assert await watched.taken(os.getpid()) is None, "it was closed after the previous check"
    assert await watched.taken(os.getpid()) == 8
    assert await watched.taken(os.getpid()) is None


async def test_a_file_of_a_killed_rank_is_not_taken(watched: Watched) -> None:
    """Given a killed rank whose end is not reported yet, its file is closed, unchanged and incomplete."""
    with writing(watched.folder / "state-8") as rank:
        for _ in range(3):
            assert await watched.taken(rank.pid) is None
        rank.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, rank.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        for _ in range(3):
            assert await watched.taken(rank.pid) is None
    assert await watched.taken(rank.pid) is None, "the process has ended completely"


async def test_a_file_of_a_killed_child_is_not_taken_before_the_rank_fails(watched: Watched) -> None:
    """Given a shell whose Python is killed, its file is closed and unchanged; the shell fails a moment later."""
    with writing(watched.folder / "state-8") as child:
        for _ in range(3):
            assert await watched.taken(os.getpid()) is None
        child.kill()
        child.wait()
        assert await watched.taken(os.getpid()) is None


async def test_a_writer_that_closes_another_file_meanwhile_is_seen(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a process with several threads, files that it closes while its descriptors are read do not hide others."""
    readlink = os.readlink
    with (tmp_path / "other").open("w") as other, (watched.folder / "state-8").open("w"):

        def closes_first(path: Path) -> str:
            other.close()
            return readlink(path)

        monkeypatch.setattr(checkpoint_watch.os, "readlink", closes_first)
        for _ in range(3):
            assert await watched.taken(os.getpid()) is None
    await watched.taken(os.getpid())
    assert await watched.taken(os.getpid()) == 8


async def test_files_are_complete_when_all_ranks_have_ended_well(watched: Watched) -> None:
    (watched.folder / "state-9").write_text("whole")
    assert await watched.taken(final=True) == 9
