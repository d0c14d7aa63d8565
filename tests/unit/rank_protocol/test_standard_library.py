"""The rank protocol works in an environment that only has the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import headway

_IMPORT_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib, pkgutil
import headway.rank_protocol as package
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f"headway.rank_protocol.{module.name}")
"""


def test_it_needs_nothing_else() -> None:
    """Given a Python without installed packages, then each module can be imported."""
    root = Path(headway.__file__).parent.parent
    subprocess.run([sys.executable, "-I", "-S", "-c", _IMPORT_ALL, str(root)], check=True)
