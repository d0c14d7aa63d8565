"""Ends processes that an earlier start of the worker left behind. They are identified by pid and start time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from headway.worker.regular_files import write_new

_log = logging.getLogger(__name__)
_FILE = "processes.json"
_SAME_START_SECONDS = 0.05


def remember_processes(folder: Path, pids: Iterable[int]) -> None:
    """Write down the processes of an attempt beside its files."""
    started = {}
    for pid in pids:
        try:
            started[pid] = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            continue
    write_new(folder / _FILE, json.dumps(started))


def end_survivors(home: Path) -> None:
    """Kill the remaining processes of attempts of an earlier start."""
    for path in (home / "attempts").glob(f"*/{_FILE}"):
        try:
            started: dict[str, float] = json.loads(path.read_text())
            for pid, start in started.items():
                _end(int(pid), float(start))
            path.unlink()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.warning("%s cannot be read: %s", path, error)


def _end(pid: int, start: float) -> None:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - start) < _SAME_START_SECONDS:
            process.kill()
            _log.warning("Ended process %d, which an earlier start of this worker left behind.", pid)
