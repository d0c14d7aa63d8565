"""A file system of a few megabytes, for tests that fill it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "24m") -> Iterator[Path]:
    """Mount a tmpfs. That needs root: without it the test is skipped, except in CI."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0 and not os.environ.get("CI"):
        pytest.skip("mounting a small disk needs root")
    assert mounted.returncode == 0
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
