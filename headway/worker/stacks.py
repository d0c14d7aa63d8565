"""The Python stacks of running ranks. A rank writes its own when it gets a signal, or py-spy reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import headway
from headway.rank_protocol.paths import stacks_file
from headway.rank_protocol.stacks_signal import STACKS_SIGNAL
from headway.worker.regular_files import read_part, size_of

_PATIENCE_SECONDS = 3.0
_LOOK_SECONDS = 0.05
_MAXIMUM_BYTES = 1 << 20
_PY_SPY_TIMEOUT_SECONDS = 10.0
_NOT_THE_SCRIPTS = (f'"{Path(headway.__file__).parent}/training/', '"<frozen runpy>"')
"""Frames of Headway's own start of a rank, which are left out."""
_TORCH = f"{os.sep}torch{os.sep}"


def read_stacks(folder: Path, processes: dict[int, int]) -> dict[int, str]:
    """The stacks of the given ranks (rank to pid). This works inside a collective as well: the handler needs no Python.

    If a rank does not write its own (a command, or one that blocks signals), py-spy reads them from outside, if it is
    installed and the kernel permits it.
    """
    files = {rank: stacks_file(folder, rank) for rank in sorted(processes)}
    sizes: dict[int, int] = {}
    for rank, path in files.items():
        if path.is_file():  # otherwise the rank does not handle the signal yet, or is not a Python script
            sizes[rank] = size_of(path)
            with suppress(ProcessLookupError):
                os.kill(processes[rank], STACKS_SIGNAL)
    time.sleep(_LOOK_SECONDS)
    stacks = {}
    deadline = time.monotonic() + _PATIENCE_SECONDS  # all ranks write at the same time
    give_up = deadline + _PY_SPY_TIMEOUT_SECONDS
    for rank, path in files.items():
        said = _new_text(path, sizes[rank], deadline) if rank in sizes else None
        said = said or _read_from_outside(processes[rank], give_up)
        own = [line for line in said.splitlines() if not any(place in line for place in _NOT_THE_SCRIPTS)]
        stacks[rank] = f"Rank {rank} (process {processes[rank]})\n" + "\n".join(own).rstrip() + "\n"
    return stacks


def joined(stacks: dict[int, str]) -> str:
    """All stacks as one text."""
    return "\n".join(stacks.values()) or "No rank is running here.\n"


def absent_ranks(stacks: dict[int, str]) -> tuple[int, ...]:
    """The ranks that run code outside torch while others wait inside torch, as in a collective; () if unknown."""
    inside = {rank: _innermost(text) for rank, text in stacks.items()}
    waiting = {rank for rank, frame in inside.items() if frame is not None and _TORCH in frame}
    absent = {rank for rank, frame in inside.items() if frame is not None} - waiting
    return tuple(sorted(absent)) if waiting else ()


def _innermost(text: str) -> str | None:
    """The innermost frame of the main thread: the first one after the line that names the current thread."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(("Current thread", "Thread")) and "current" in line.lower():
            return next(lines, None)
    return None


def _read_from_outside(pid: int, give_up: float) -> str:
    """Stacks of a process and its children from py-spy (https://github.com/benfred/py-spy), or why there are none."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    tool = shutil.which("py-spy", path=os.pathsep.join(places))
    if tool is None:
        return "no stacks: only Python scripts write their own; for other programs install py-spy on the worker"
    left_seconds = give_up - time.monotonic()
    if left_seconds <= 0:
        return "no stacks: reading those of other ranks took too long"
    command = [tool, "dump", "--subprocesses", "--nonblocking", "--pid", str(pid)]
    try:
        read = subprocess.run(command, capture_output=True, text=True, timeout=left_seconds, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"no stacks: py-spy could not read them: {error}"
    return read.stdout or f"no stacks: py-spy could not read them: {read.stderr.strip()}"


def _new_text(path: Path, offset: int, deadline: float) -> str | None:
    """The text after `offset`, once it has stopped growing; None if there is none."""
    size = -1
    while time.monotonic() < deadline:
        newest = size_of(path)
        if newest > offset and newest == size:
            break
        size = newest
        time.sleep(_LOOK_SECONDS)
    try:
        return read_part(path, offset, _MAXIMUM_BYTES).decode(errors="replace") or None
    except OSError:
        return None
