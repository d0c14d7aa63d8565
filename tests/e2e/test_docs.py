"""Every command of the quickstart runs, and the reference pages are what the code says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tools.reference import DOCS, PAGES

CHECKOUT = Path(__file__).parents[2]
STARTS_SOMETHING = ("headway up", "headway worker", "headway server")


def commands(page: str) -> list[str]:
    text = (CHECKOUT / "docs" / page).read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ headway")]


def test_the_commands_of_the_quickstart(shared_fleet: Fleet) -> None:
    found = [one for one in commands("quickstart.md") if not one.startswith(STARTS_SOMETHING)]
    assert len(found) >= 10
    (shared_fleet.folder / "examples").symlink_to(CHECKOUT / "examples")
    for command in found:
        ran = shared_fleet.command(*shlex.split(command)[1:])
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)


@pytest.mark.parametrize("command", sorted({" ".join(one.split()[1:2]) for one in commands("quickstart.md")}))
def test_each_command_has_help(shared_fleet: Fleet, command: str) -> None:
    ran = shared_fleet.command(command, "--help")
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"Usage: headway {command}")


def test_the_python_of_the_quickstart(shared_fleet: Fleet, tmp_path: Path) -> None:
    text = (CHECKOUT / "docs" / "quickstart.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    environment = {"HEADWAY_SERVER_URL": shared_fleet.url, "HEADWAY_HOME": str(shared_fleet.home), "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", first], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.split()[0]) > 0.5
    outside = subprocess.run([sys.executable, "-c", second], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outside.returncode == 0, outside.stderr


@pytest.mark.parametrize("name", PAGES)
def test_reference_pages_follow_the_code(name: str) -> None:
    said = "run: .venv/bin/python -m tools.reference"
    assert (DOCS / name).read_text() == PAGES[name](), said
