"""Every command of the documents runs, and the reference pages match the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from headway.cli.main import COMMANDS, cli
from tests.fleet import Fleet
from tools.reference import DOCS, PAGES

CHECKOUT = Path(__file__).parents[2]
STARTS_SOMETHING = ("headway up", "headway worker", "headway server", "make ")
HOW_TO = sorted(
    path.relative_to(CHECKOUT / "docs").as_posix()
    for folder in ("how-to", "tutorials")
    for path in (CHECKOUT / "docs" / folder).glob("*.md")
    if path.name != "kubernetes.md"  # its commands need a cluster
)
MARKDOWN = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md")
    for path in CHECKOUT.glob(pattern)
)


def commands(page: str) -> list[str]:
    text = (CHECKOUT / "docs" / page).read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("page", ["quickstart.md", *HOW_TO, "internals/drill.md", "../examples/README.md"])
def test_every_command_of_the_documents_runs(shared_fleet: Fleet, tmp_path: Path, page: str) -> None:
    """Given the files that a page shows, when its commands run one after the other, then each ends well."""
    for name in ("examples", "frameworks"):
        target = CHECKOUT / "examples" / ("" if name == "examples" else name)
        shutil.copytree(target, tmp_path / name, ignore=shutil.ignore_patterns("data"))
    for name, text in re.findall(r"```\w+ file=(\S+)\n(.*?)```", (CHECKOUT / "docs" / page).read_text(), re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {
        **os.environ,
        "HEADWAY_HOME": str(shared_fleet.home),
        "HEADWAY_SERVER_URL": shared_fleet.url,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    found = [one for one in commands(page) if not one.startswith(STARTS_SOMETHING)]
    assert found
    exports = ""
    for command in found:
        if command.startswith("export "):
            exports += f"{command}\n"
            continue
        ran = subprocess.run(
            ["bash", "-c", f"set -o pipefail\n{exports}{command}"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150,
            check=False,
        )  # fmt: skip
        ended_as_asked = command.startswith("headway kill") or ran.returncode == 0
        assert ended_as_asked, (command, ran.stdout, ran.stderr)


@pytest.mark.parametrize("page", MARKDOWN)
def test_every_link_leads_somewhere(page: str) -> None:
    """Given a page's links to files of the checkout and to headings in them, then these exist."""
    path = CHECKOUT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        name, _, heading = target.partition("#")
        if "://" in name:
            continue
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{page} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert heading in [_anchor(one) for one in headings], f"{page} links to {target}"


def _anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_has_help(command: str) -> None:
    ran = CliRunner().invoke(cli, [command, "--help"], prog_name="headway")
    assert ran.exit_code == 0
    assert ran.output.startswith(f"Usage: headway {command}")


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
