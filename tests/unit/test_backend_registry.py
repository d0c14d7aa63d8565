"""Backends by their URL."""

from __future__ import annotations

import pytest

from headway.backend_registry import backend
from headway.errors import SettingInvalid


def test_an_unknown_backend_names_its_setting() -> None:
    with pytest.raises(
        SettingInvalid, match=r"HEADWAY_DATABASE_URL begins with oracle; it must begin with one of: sql"
    ):
        backend("database", "oracle://x")
