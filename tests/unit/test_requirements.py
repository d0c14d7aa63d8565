"""The lock files of the checkout."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def locked(name: str) -> dict[str, set[str]]:
    """Versions by package; some have one for older Pythons."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", (CHECKOUT / name).read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def test_tests_run_with_the_released_versions() -> None:
    """Given both lock files, each package of the run-time file has the same version in the tests' file."""
    running, testing = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: testing.get(name) for name in running} == running
    assert not {"pytest", "mypy", "lightning"} & running.keys()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {re.split(r"[\[<>=;~!, ]", one)[0].lower().replace("_", "-") for one in wanted}
    assert names <= locked("requirements-dev.lock").keys()


def test_no_address_is_in_a_lock() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert "://" not in (CHECKOUT / name).read_text()
