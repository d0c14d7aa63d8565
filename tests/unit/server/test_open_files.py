"""A server that may open too few files says so, and what to do."""

from __future__ import annotations

import resource

import pytest

from headway.errors import SettingInvalid
from headway.server.main import serve
from headway.settings import Settings


def test_too_few_open_files_are_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(SettingInvalid, match=r"may open 64 files, and a server needs 128, .* ulimit -n 4096"):
        serve(Settings())
