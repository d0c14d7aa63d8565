"""Where the state is kept, whatever HOME says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headway.client.connection import DEFAULT_URL, server_url
from headway.errors import SettingInvalid
from headway.home import default_home
from headway.settings import load_settings
from tests.no_root import without_root


def test_the_home_is_what_was_told_or_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home() == tmp_path / ".headway"
    monkeypatch.setenv("HEADWAY_HOME", "elsewhere")
    assert default_home() == Path("elsewhere")


@pytest.mark.parametrize("home", ["", "relative/folder"])
def test_a_home_that_is_no_place_is_refused_unless_another_is_named(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", home)
    with pytest.raises(SettingInvalid, match=rf"HOME is '{home}', .* Set HEADWAY_HOME, or give --home\."):
        load_settings(os.environ)
    assert load_settings(os.environ, home=tmp_path).home == tmp_path
    assert server_url("http://here:1/") == "http://here:1"


def test_a_user_without_a_home_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user whom the machine does not know
    with pytest.raises(SettingInvalid, match="HOME is not set"):
        default_home()


def test_a_home_that_is_closed_to_this_user_is_named(tmp_path: Path) -> None:
    """Given HEADWAY_HOME of another user, then a command says what cannot be read and what to set."""
    home = tmp_path / "theirs"
    assert server_url(home=home) == DEFAULT_URL
    home.mkdir()
    (home / "server.url").write_text("http://127.0.0.1:9")
    home.chmod(0o000)
    with (
        without_root(tmp_path),
        pytest.raises(SettingInvalid, match=r"server\.url cannot be read \(Permission denied\)\. Set HEADWAY_HOME"),
    ):
        server_url(home=home)
    home.chmod(0o700)
