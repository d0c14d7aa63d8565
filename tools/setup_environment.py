"""Creates `.venv` from a lock file with uv. It needs only Python 3.11 and this checkout.

`requirements.lock` has the packages to run Headway, `requirements-dev.lock` also those for tests and checks. If the
machine has no uv, it is installed into the venv. pip's wheel is beside this file, so neither pip nor ensurepip is
needed. Downloads are cached in `.cache`, unless UV_CACHE_DIR names another folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CHECKOUT = TOOLS.parent
ENVIRONMENT = CHECKOUT / ".venv"
LOCKS = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
PURPOSES = {"run": "to run Headway", "dev": "to run, test and check Headway"}
SIZES = {"run": "3.3 GB to download, 6.0 GB on disk", "dev": "3.5 GB to download, 6.3 GB on disk"}
"""Measured on Linux x86-64. Nearly all of it is PyTorch with its CUDA libraries."""


def main() -> None:
    """Create the environment `run` or `dev`, unless it is already current."""
    if sys.version_info < (3, 11):
        sys.exit(f"Headway needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    kind = sys.argv[1]
    if is_current(kind):
        return
    print(f"Setting up .venv {PURPOSES[kind]}{expected_size(kind)}.", flush=True)
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=False, symlinks=True)
    for stamp in (stamp_of(one) for one in LOCKS):
        stamp.unlink(missing_ok=True)
    uv = find_uv(python)
    lock = str(CHECKOUT / LOCKS[kind])
    progress = [] if sys.stderr.isatty() else ["--quiet"]
    run(uv, "pip", "sync", *progress, "--compile-bytecode", "--python", str(python), "--require-hashes", lock)
    run(uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--editable", str(CHECKOUT))
    run(str(python), "-m", "compileall", "-q", str(CHECKOUT / "headway"))
    stamp_of(kind).write_text(wanted_state(kind))


def is_current(kind: str) -> bool:
    """Whether `.venv` has the packages. An environment for tests also has those to run Headway."""
    kinds = [kind] if kind == "dev" else list(LOCKS)
    return (ENVIRONMENT / "bin" / "python").exists() and any(
        stamp_of(one).exists() and stamp_of(one).read_text() == wanted_state(one) for one in kinds
    )


def stamp_of(kind: str) -> Path:
    """The file that records the state for which `.venv` was created."""
    return ENVIRONMENT / f"headway-{kind}.stamp"


def wanted_state(kind: str) -> str:
    """A text that changes when the environment must be created again."""
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    parts = ((CHECKOUT / LOCKS[kind]).read_text(), project["project"], project["build-system"], CHECKOUT, sys.version)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def expected_size(kind: str) -> str:
    """The sizes of the download and on disk, for the message."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return ""
    cached = " (less what is cached already)" if cache().exists() else ""
    return f": about {SIZES[kind]}{cached}. docs/how-to/install.md shows how to use a smaller PyTorch"


def cache() -> Path:
    """The folder of uv's downloads."""
    return Path(os.environ.get("UV_CACHE_DIR") or CHECKOUT / ".cache" / "uv")


def find_uv(python: Path) -> str:
    """The machine's uv, or one that pip installs from its wheel, with a checked hash."""
    found = shutil.which("uv")
    if found:
        return found
    own = CHECKOUT / ".venv" / "uv"
    if not (own / "bin" / "uv").exists():
        (wheel,) = TOOLS.glob("pip-*.whl")
        pip = [str(python), str(wheel / "pip"), "--disable-pip-version-check", "--no-cache-dir", "--quiet"]
        run(*pip, "install", "--require-hashes", "--requirement", str(TOOLS / "uv.lock"), "--target", str(own))
    return str(own / "bin" / "uv")


def run(*command: str) -> None:
    """Run a command; if it fails, end with its status."""
    environment = {**os.environ, "UV_CACHE_DIR": str(cache())}
    status = subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
