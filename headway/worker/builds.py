"""Runs the programs that build environments."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from headway.errors import CannotStartRanks, EnvironmentFailed

_SAID_LINES = 12
_KEPT_LINES = 1_000
_PIECE_BYTES = 1 << 16
_ERROR_SIGNS = ("error", "×")  # noqa: RUF001
"""The first line of a failure starts with one of these; lines before it are progress."""
_DISK_FULL = os.strerror(errno.ENOSPC)
_DECORATION = " ×╰─▶│"  # noqa: RUF001 - what uv draws around its messages


def find_uv() -> str:
    """The program that builds environments. Raises EnvironmentFailed when this worker has none."""
    if find_spec("uv") is not None:
        from uv import find_uv_bin

        return str(find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise EnvironmentFailed("This worker has no uv, which builds environments. Install it: pip install uv")
    return found


async def _lines_of(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """The lines that a program prints. A line that is too long comes in pieces."""
    unread = b""
    while process.stdout is not None and (content := await process.stdout.read(_PIECE_BYTES)):
        *whole, unread = (unread + content).split(b"\n")
        if len(unread) > _PIECE_BYTES:
            whole, unread = [*whole, unread], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip()
    if unread:
        yield unread.decode(errors="replace").rstrip()


async def run_build(
    command: list[str], work: Path, say: Callable[[str], None] = lambda _line: None, **variables: str
) -> list[str]:
    """Run a program in the folder `work`. Returns its lines.

    Raises EnvironmentFailed with its last lines, CannotStartRanks for a full disk.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "VIRTUAL_ENV"))
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=work,
        env={**environment, "PWD": str(work.absolute()), "UV_NO_PROGRESS": "1", **variables},
        start_new_session=True,
    )
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        async for line in _lines_of(process):
            kept.append(line)
            say(line)
        status = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all processes that it has started
            await process.wait()
    lines = [*kept]
    if status != 0:
        first = next((n for n, line in enumerate(lines) if line.lstrip().startswith(_ERROR_SIGNS)), 0)
        said = " ".join(line.strip(_DECORATION) for line in lines[first:][-_SAID_LINES:] if line.strip())
        if _DISK_FULL in said:
            raise CannotStartRanks(said)
        raise EnvironmentFailed(said or f"{command[0]} ended with status {status}.")
    return lines
