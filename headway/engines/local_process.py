"""The processes of the local engine: started, found again by another server, watched and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_LOOK_SECONDS = 0.5
_LAST_BYTES = 2000


async def start_worker(arguments: list[str], log: Path) -> psutil.Process:
    """Start `headway worker` as a process that outlives this server. Its output goes to the log."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "headway",
            "worker",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        )
    _children[process.pid] = process
    return psutil.Process(process.pid)


_children: dict[int, asyncio.subprocess.Process] = {}
"""Those that this server started: it has to take their exit codes, or they stay as zombies."""


def find_workers(folder: Path) -> dict[str, psutil.Process]:
    """The processes that an earlier server started with homes in the folder, by the home."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if "--allocation" in line and "--home" in line and process.status() != psutil.STATUS_ZOMBIE:
                home = line[line.index("--home") + 1]
                if Path(home).is_relative_to(folder):
                    found[home] = process
    return found


async def ended(process: psutil.Process) -> int | None:
    """Wait for the end of a process; its exit code, if this server started it."""
    child = _children.get(process.pid)
    if child is not None:
        try:
            return await child.wait()
        finally:
            if child.returncode is not None:
                _children.pop(process.pid, None)
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or it has ended
        while process.is_running():
            await asyncio.sleep(_LOOK_SECONDS)
        return None
    try:
        if process.is_running():  # the id is its own, and not that of a later process
            await _readable(descriptor)
    finally:
        os.close(descriptor)
    return None


async def _readable(descriptor: int) -> None:
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)


async def end(process: psutil.Process, grace_seconds: float, wait: Callable[[], asyncio.Future[int | None]]) -> None:
    """End a process: at first kindly. `wait`: for its end, as somebody else does already."""
    with suppress(psutil.Error):
        if grace_seconds:
            process.terminate()
            done, _ = await asyncio.wait({wait()}, timeout=grace_seconds)
            if done:
                return
        process.kill()
    await asyncio.wait({wait()})


def last_line(log: Path) -> str:
    """The last line of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"
