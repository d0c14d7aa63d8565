"""Projects that a lock file installs in place: each job has its own working copy of them.

The environment that is kept has none of them, for it outlives the copy. A small one of the attempt's own has, and finds
everything else in the kept one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headway.worker.builds import find_uv, run_build

_LINK = "headway-kept-environment.pth"
_LEFT_BY_BUILDS = ("build", "*.egg-info", "src/*.egg-info")


@dataclass(frozen=True)
class Overlay:
    """An attempt's own environment in `folder`, over a kept one."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        return packages_of(self.folder)

    def metadata(self) -> bytes:
        """What its projects say of themselves, with what they need."""
        return b"\0".join(path.read_bytes() for path in sorted(self.packages.glob("*.dist-info/METADATA")))

    def link(self, kept: Path) -> None:
        """Find everything else in the kept environment."""
        (self.packages / _LINK).write_text(f"import site; site.addsitedir({str(packages_of(kept))!r})\n")


@contextmanager
def without_leftovers(projects: Iterable[Path]) -> Iterator[None]:
    """Take away what builds leave in the projects: it would count as files that the job made."""
    before = _left_by_builds(projects)
    try:
        yield
    finally:
        for path in _left_by_builds(projects) - before:
            shutil.rmtree(path, ignore_errors=True)


async def build_overlay(
    projects: Iterable[Path], python: str, folder: Path, work: Path, say: Callable[[str], None]
) -> Overlay:
    """Install the projects in place, without what they need. Raises EnvironmentFailed."""
    uv = find_uv()
    overlay = Overlay(folder.absolute())
    await run_build([uv, "venv", "--quiet", "--clear", "--python", python, str(overlay.folder)], work, say)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(overlay.python)]
    for project in sorted(projects):
        install += ["--editable", str(project)]
    await run_build(install, work, say)
    return overlay


async def remove_editables(environment: Path, work: Path, say: Callable[[str], None]) -> None:
    """Take away what was installed in place: it would point to a working copy that will be gone."""
    found = [path.parent for path in packages_of(environment).glob("*.dist-info/direct_url.json")]
    names = [folder.name.partition("-")[0] for folder in found if '"editable":true' in _compact(folder)]
    if names:
        python = str(environment / "bin" / "python")
        await run_build([find_uv(), "pip", "uninstall", "--quiet", "--python", python, *names], work, say)


def packages_of(environment: Path) -> Path:
    """The site-packages of a virtual environment."""
    return next((environment / "lib").glob("python*/site-packages"))


def _compact(folder: Path) -> str:
    return (folder / "direct_url.json").read_text().replace(" ", "")


def _left_by_builds(projects: Iterable[Path]) -> set[Path]:
    return {path for project in projects for pattern in _LEFT_BY_BUILDS for path in project.glob(pattern)}
