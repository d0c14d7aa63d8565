"""The log of a Headway process: on stderr, as services do, or in a file in the home."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TextIO

NAME = "headway.log"
"""The log's name in the home. A large log of an earlier start is renamed and ends in `.1`."""
_LARGE_BYTES = 10 << 20


def log_to_stderr(subject: str = "") -> None:
    """Write each record as a line with its time to stderr. Lines begin with `subject`."""
    _log_to(sys.stderr, subject)


def log_to_file(home: Path) -> Path:
    """Write each record as a line with its time to the home's file, which only its owner can read. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / NAME
    if path.exists() and path.stat().st_size > _LARGE_BYTES:
        path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    _log_to(os.fdopen(descriptor, "a"), "")
    return path


def _log_to(stream: TextIO, subject: str) -> None:
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {subject}%(message)s", stream=stream)
    for name in ("alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
