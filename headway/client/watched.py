"""Whether somebody watches what this process prints, and where."""

from __future__ import annotations

import sys


def watched() -> bool:
    """Whether somebody watches: at a terminal, or in a notebook."""
    return sys.stdout.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    return "ipykernel" in sys.modules
