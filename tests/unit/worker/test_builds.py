"""Programs that build environments."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import psutil
import pytest

from headway.worker.builds import run_build

pytestmark = pytest.mark.anyio


async def test_a_build_may_print_anything() -> None:
    lines: list[str] = []
    source = "import sys; sys.stdout.write('x' * 300_000 + chr(10) + 'end'); sys.stdout.flush()"
    kept = await run_build([sys.executable, "-c", source], Path.cwd(), lines.append)
    assert "".join(lines) == "x" * 300_000 + "end"
    assert kept[-1] == "end"


async def test_a_cancelled_build_ends_with_its_child_processes() -> None:
    source = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    lines: list[str] = []
    running = asyncio.create_task(run_build([sys.executable, "-c", source], Path.cwd(), lines.append))
    async with asyncio.timeout(30):
        while not lines:
            await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        while psutil.pid_exists(int(lines[0])) and psutil.Process(int(lines[0])).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
