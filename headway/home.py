"""The home: the folder with an installation's state."""

from __future__ import annotations

import os
from pathlib import Path


def default_home() -> Path:
    """The default home: HEADWAY_HOME, or `~/.headway`."""
    return Path(os.environ.get("HEADWAY_HOME") or Path.home() / ".headway")
