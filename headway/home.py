"""The home: the folder with an installation's state."""

from __future__ import annotations

import os
from pathlib import Path

from headway.errors import SettingInvalid


def default_home() -> Path:
    """The default home: HEADWAY_HOME, or `~/.headway`. Raises SettingInvalid where there is no `~`."""
    told = os.environ.get("HEADWAY_HOME")
    if told:
        return Path(told)
    home, of_user = os.environ.get("HOME"), os.path.expanduser("~")
    if home == "" or not os.path.isabs(of_user):
        said = "HOME is not set" if home is None else f"HOME is {home!r}, which is no absolute path"
        raise SettingInvalid(f"{said}, so there is no folder for Headway's state. Set HEADWAY_HOME, or give --home.")
    return Path(of_user) / ".headway"
