"""The page's source: its own tests pass, and the committed page is what is built from it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SOURCE = CHECKOUT / "ui"
BUILT = CHECKOUT / "headway" / "server" / "page"


def npm(*arguments: str, **variables: str) -> None:
    cache = {"npm_config_cache": str(CHECKOUT / ".cache" / "npm"), "NO_UPDATE_NOTIFIER": "1"}
    ran = subprocess.run(
        ["npm", *arguments], cwd=SOURCE, env={**os.environ, **cache, **variables},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def install() -> None:
    """Install the libraries of the page, unless that is done. Tests that run at the same time take turns."""
    installed, lock = SOURCE / "node_modules" / ".package-lock.json", SOURCE / "package-lock.json"
    (CHECKOUT / ".cache").mkdir(exist_ok=True)
    with (CHECKOUT / ".cache" / "npm.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            npm("ci")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_committed_page_is_built_from_its_source(tmp_path: Path) -> None:
    """Given the source, when it is checked, tested and built, then the result is the page that the server sends."""
    if shutil.which("npm") is None:
        assert "CI" not in os.environ, "CI needs Node.js with npm"
        pytest.skip("Node.js with npm is not installed")
    install()
    npm("test")
    npm("run", "build", HEADWAY_PAGE_FOLDER=str(tmp_path / "page"))
    committed, built = files(BUILT), files(tmp_path / "page")
    changed = {name for name in committed.keys() | built.keys() if committed.get(name) != built.get(name)}
    assert changed == set(), "run `make page` and commit the result"
