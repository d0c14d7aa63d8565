"""Makes `.venv` from `requirements.lock` with uv, with nothing but Python 3.11 and what this checkout has.

uv comes from the machine, or, where it has none, into the venv itself: pip's wheel lies beside this file, so that
neither pip nor ensurepip need be installed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CHECKOUT = TOOLS.parent
ENVIRONMENT = CHECKOUT / ".venv"
STAMP = ENVIRONMENT / "headway.stamp"


def main() -> None:
    """Set up, unless the stamp says that nothing changed since."""
    if sys.version_info < (3, 11):
        sys.exit(f"Headway needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    wanted = wanted_state()
    python = ENVIRONMENT / "bin" / "python"
    if STAMP.exists() and python.exists() and STAMP.read_text() == wanted:
        return
    print("Setting up .venv ...", flush=True)
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=False, symlinks=True)
    uv = find_uv(python)
    lock = str(CHECKOUT / "requirements.lock")
    run(uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", str(python), "--require-hashes", lock)
    run(uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--editable", str(CHECKOUT))
    run(str(python), "-m", "compileall", "-q", str(CHECKOUT / "headway"))
    STAMP.write_text(wanted)


def wanted_state() -> str:
    """Changes whenever the environment has to be made anew."""
    content = b"".join((CHECKOUT / name).read_bytes() for name in ("requirements.lock", "pyproject.toml"))
    return hashlib.sha256(content + str(CHECKOUT).encode() + sys.version.encode()).hexdigest()


def find_uv(python: Path) -> str:
    """uv of the machine, or our own, installed by pip from its wheel with a checked hash."""
    found = shutil.which("uv")
    if found:
        return found
    own = CHECKOUT / ".venv" / "uv"
    if not (own / "bin" / "uv").exists():
        (wheel,) = TOOLS.glob("pip-*.whl")
        pip = [str(python), str(wheel / "pip"), "--disable-pip-version-check", "--quiet"]
        run(*pip, "install", "--require-hashes", "--requirement", str(TOOLS / "uv.lock"), "--target", str(own))
    return str(own / "bin" / "uv")


def run(*command: str) -> None:
    """Run a command; if it fails, end with its status."""
    status = subprocess.run(command, cwd=CHECKOUT, check=False).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
