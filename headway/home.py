"""Where an installation keeps its state."""

from __future__ import annotations

import os
from pathlib import Path


def default_home() -> Path:
    """The home unless told otherwise: HEADWAY_HOME, or `~/.headway`."""
    return Path(os.environ.get("HEADWAY_HOME") or Path.home() / ".headway")
