"""Settings from variables and options."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import headway
from headway.errors import SettingInvalid
from headway.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HEADWAY_LEASE": "3"}, "HEADWAY_LEASE is not a setting"),
        ({"HEADWAY_DRAIN_SECONDS": "10"}, "HEADWAY_DRAIN_SECONDS is called HEADWAY_SETTLE_SECONDS now: rename"),
        ({"HEADWAY_ASSIGNMENTS_URL": "amqp://a"}, "HEADWAY_ASSIGNMENTS_URL is called HEADWAY_WAKEUPS_URL now: rename"),
        ({"HEADWAY_PORT": "x"}, "HEADWAY_PORT is 'x'"),
        ({"HEADWAY_SETTLE_SECONDS": "10"}, "HEADWAY_ORPHAN_TIMEOUT_SECONDS is 300; it must be below"),
    ],
)
def test_wrong_settings_are_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingInvalid) as error:
        load_settings(variables)
    assert words in str(error.value)


def test_options_win_over_variables(tmp_path: Path) -> None:
    assert load_settings({"HEADWAY_PORT": "1"}, port=2, home=tmp_path).port == 2
    assert load_settings({"HEADWAY_PORT": "1"}, port=None).port == 1


def test_every_setting_says_what_it_is_for() -> None:
    for module, classes in (("settings.py", {"Settings", "WorkerSettings"}), ("core/protocol.py", {"Timeouts"})):
        tree = ast.parse((Path(headway.__file__).parent / module).read_text())
        for found in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in classes):
            for position, node in enumerate(found.body):
                if isinstance(node, ast.AnnAssign):
                    after = found.body[position + 1]
                    assert isinstance(after, ast.Expr), f"{found.name}.{ast.unparse(node.target)} has no docstring"
    assert "lease_seconds" in Settings.model_fields
