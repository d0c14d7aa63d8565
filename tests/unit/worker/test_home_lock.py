"""Only one worker at a time uses a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import SettingInvalid
from headway.worker.home_lock import locked_home


def test_a_home_is_free_again_once_its_worker_has_ended(tmp_path: Path) -> None:
    home = tmp_path / "workers" / "a"
    with locked_home(home):
        assert home.stat().st_mode & 0o077 == 0
        with pytest.raises(SettingInvalid, match="Another worker runs in"), locked_home(home):
            pass
    with locked_home(home):
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SettingInvalid, match=f"home {tmp_path / 'file'} cannot be used"),
        locked_home(tmp_path / "file"),
    ):
        pass
