"""Projects that a lock file installs in place. Each job has its own working copy of them.

The cached environment contains none of them, since it outlives the copy. They are in a small environment of the
attempt, the overlay, which finds everything else in the cached one.
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
    """An attempt's own environment in `folder`, on top of a cached one."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """The folder of its packages."""
        return packages_of(self.folder)

    def metadata(self) -> bytes:
        """The metadata of its projects, with their requirements."""
        return b"\0".join(path.read_bytes() for path in sorted(self.packages.glob("*.dist-info/METADATA")))

    def link(self, kept: Path) -> None:
        """Let the overlay find everything else in the cached environment."""
        (self.packages / _LINK).write_text(f"import site; site.addsitedir({str(packages_of(kept))!r})\n")


@contextmanager
def without_leftovers(projects: Iterable[Path]) -> Iterator[None]:
    """Remove files that builds leave in the projects. They would count as files that the job wrote."""
    before = _left_by_builds(projects)
    try:
        yield
    finally:
        for path in _left_by_builds(projects) - before:
            shutil.rmtree(path, ignore_errors=True)


async def build_overlay(
    projects: Iterable[Path], python: str, folder: Path, work: Path, say: Callable[[str], None]
) -> Overlay:
    """Install the projects in place, without their requirements. Raises EnvironmentFailed."""
    uv = find_uv()
    overlay = Overlay(folder.absolute())
    await run_build([uv, "venv", "--quiet", "--clear", "--python", python, str(overlay.folder)], work, say)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(overlay.python)]
    for project in sorted(projects):
        install += ["--editable", str(project)]
    await run_build(install, work, say)
    return overlay


async def remove_editables(environment: Path, work: Path, say: Callable[[str], None]) -> None:
    """Remove packages that were installed in place. They would point to a working copy that will be deleted."""
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
