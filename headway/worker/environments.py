"""The software that jobs run with: the worker's own, another interpreter, or a venv built from a lock file."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import shutil
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from headway.core.environment import Environment
from headway.errors import CannotStartRanks, EnvironmentFailed, WorkerOutdated
from headway.folders import remove
from headway.formats.lock_files import LockContents, read_lock
from headway.worker.builds import find_uv, run_build
from headway.worker.editables import Overlay, build_overlay, remove_editables, without_leftovers
from headway.worker.forkserver import Forkserver

_log = logging.getLogger(__name__)
_WARM = 2
"""How many forkservers of recent environments are kept beside the worker's own. Each takes hundreds of megabytes."""
_OLDEST_PYTHON = (3, 11)
_PACKAGE = Path(__file__).parent.parent
_COMPLETE = "headway-complete"


@dataclass(frozen=True)
class BuildSite:
    """The inputs of an attempt's environment: its working directory `work`, and a folder of its own.

    `say` gets the lines of a build. `unpack` unpacks the snapshot into a new folder; None if `work` is unchanged.
    """

    work: Path
    own: Path
    say: Callable[[str], None]
    unpack: Callable[[Path], Awaitable[None]] | None = None


class Environments:
    """One warm forkserver per recent environment. Builds are cached by hash, within a bound."""

    def __init__(self, home: Path, threads: int, maximum_bytes: int) -> None:
        self.own = Forkserver(threads, Path(sys.executable))
        self._home = home
        self._threads = threads
        self._maximum_bytes = maximum_bytes
        self._building: dict[str, asyncio.Lock] = {}
        self._warm: OrderedDict[Path, tuple[Forkserver, asyncio.Task[None]]] = OrderedDict()
        self._used: dict[Path, int] = {}

    async def run(self) -> None:
        """Keep the worker's own forkserver warm forever. When cancelled, end all forkservers."""
        try:
            await self.own.run()
        finally:
            for _, task in self._warm.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._warm.values()), return_exceptions=True)

    async def acquire(self, environment: Environment, site: BuildSite) -> tuple[Forkserver, Overlay | None]:
        """The forkserver of an environment, which stays until it is released, and the attempt's overlay, if its lock
        file installs projects in place.

        Raises EnvironmentFailed when the environment cannot be built, CannotStartRanks when this worker is the cause.
        """
        if not environment.foreign:
            await self.own.wait_until_warm()
            return self.own, None
        python, overlay = await self._python(environment, site)
        if python not in self._warm:
            forkserver = Forkserver(self._threads, python, self._packages())
            self._warm[python] = (forkserver, asyncio.create_task(forkserver.run()))
        self._warm.move_to_end(python)
        self._used[python] = self._used.get(python, 0) + 1
        forkserver = self._warm[python][0]
        try:
            await self._cool()
            await forkserver.wait_until_warm()
        except (CannotStartRanks, EnvironmentFailed) as error:
            self.release(forkserver)
            kept = self._warm.get(python)
            if kept is not None and kept[0] is forkserver:
                self._warm.pop(python)[1].cancel()
            if isinstance(error, EnvironmentFailed | WorkerOutdated):
                raise
            raise EnvironmentFailed(f"{python} cannot start ranks: {error}") from error
        except asyncio.CancelledError:
            self.release(forkserver)
            raise
        return forkserver, overlay

    def release(self, forkserver: Forkserver) -> None:
        """Release a forkserver that was acquired."""
        if forkserver.python in self._used:
            self._used[forkserver.python] -= 1

    async def _cool(self) -> None:
        """End the forkservers that were not used recently."""
        for python in [python for python in self._warm if not self._used.get(python)]:
            if len(self._warm) <= _WARM:
                return
            _, task = self._warm.pop(python)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _packages(self) -> Path:
        """A folder from which only Headway itself can be imported."""
        folder = self._home / "packages"
        link = folder / _PACKAGE.name
        if not link.exists():
            folder.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(_PACKAGE)
        return folder

    async def _python(self, environment: Environment, site: BuildSite) -> tuple[Path, Overlay | None]:
        if environment.lock is not None:
            return await self._locked(environment.lock, environment.python or sys.executable, site)
        python = Path(environment.python or sys.executable)
        if not python.is_absolute() or not os.access(python, os.X_OK) or not python.is_file():
            raise EnvironmentFailed(f"{python} is not the path of a Python interpreter on this worker.")
        await self._check_version(python, site.work)
        return python, None

    async def _check_version(self, python: Path, work: Path) -> None:
        answer = await run_build([str(python), "-c", "import sys; print(*sys.version_info[:2])"], work)
        try:
            version = tuple(int(part) for part in answer[-1].split())
        except (ValueError, IndexError):
            raise EnvironmentFailed(f"{python} is not a Python interpreter.") from None
        if version < _OLDEST_PYTHON:
            raise EnvironmentFailed(f"{python} is Python {answer[-1].replace(' ', '.')}; 3.11 or newer is needed.")

    async def _locked(self, name: str, python: str, site: BuildSite) -> tuple[Path, Overlay | None]:
        """The interpreter of the lock's environment, which is built if needed, and the overlay."""
        work = site.work.absolute()
        contents = await asyncio.to_thread(read_lock, work / name, work)
        with without_leftovers({*contents.editables, *contents.packages}):
            overlay = None
            if contents.editables:
                overlay = await build_overlay(contents.editables, python, site.own, work, site.say)
            copied = any(package.is_relative_to(work) for package in contents.packages)
            if site.unpack is None or not copied:
                folder = await self._kept(work / name, python, work, overlay, site.say)
            else:  # earlier attempts may have left files in the folders that are copied
                sent = site.own.with_name("sent").absolute()
                try:
                    await site.unpack(sent)
                    folder = await self._kept(sent / name, python, sent, overlay, site.say)
                finally:
                    await asyncio.to_thread(remove, sent)
        if overlay is not None:
            overlay.link(folder)
        return folder / "bin" / "python", overlay

    async def _kept(
        self, lock: Path, python: str, work: Path, overlay: Overlay | None, say: Callable[[str], None]
    ) -> Path:
        """The cached environment for all jobs with the same lock. It is built if needed."""
        contents = await asyncio.to_thread(read_lock, lock, work)
        key = await asyncio.to_thread(_key, python, lock, work, contents, overlay)
        folder = (self._home / "environments" / key).absolute()
        async with self._building.setdefault(key, asyncio.Lock()):
            if not ((folder / _COMPLETE).exists() and (folder / "bin" / "python").exists()):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                say(f"Building the environment of {lock.name}. Later jobs reuse it.")
                await self._build(lock, python, folder, work, say)
                (folder / _COMPLETE).touch()
                await self._evict(keep=folder)
            os.utime(folder)
        return folder

    async def _build(self, lock: Path, python: str, folder: Path, work: Path, say: Callable[[str], None]) -> None:
        uv = find_uv()
        interpreter = str(folder / "bin" / "python")
        install = [uv, "pip", "install", "--python", interpreter, "--requirement", str(lock)]
        if lock.name == "uv.lock":
            install = [uv, "sync", "--frozen", "--project", str(lock.parent)]
        try:
            await run_build([uv, "venv", "--quiet", "--python", python, str(folder)], work, say)
            await run_build(install, work, say, UV_PROJECT_ENVIRONMENT=str(folder))
            await remove_editables(folder, work, say)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise

    async def _evict(self, keep: Path) -> None:
        """Drop unused environments with their forkservers, the least recently used first; and the remains of killed
        builds.
        """
        sizes = await asyncio.to_thread(_sizes, (self._home / "environments").absolute())
        total_bytes = sum(sizes.values())
        for path, size_bytes in sizes.items():
            building = self._building.get(path.name)
            if path == keep or (building is not None and building.locked()):
                continue
            python = path / "bin" / "python"
            complete = (path / _COMPLETE).exists()
            if self._used.get(python) or (complete and total_bytes <= self._maximum_bytes):
                continue
            # The next attempt that needs it builds it again.
            (path / _COMPLETE).unlink(missing_ok=True)
            async with self._building.setdefault(path.name, asyncio.Lock()):
                if python in self._warm:
                    task = self._warm.pop(python)[1]
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
            total_bytes -= size_bytes
            _log.info("Environment %s was dropped to make room.", path.name)


def _key(python: str, lock: Path, work: Path, contents: LockContents, overlay: Overlay | None) -> str:
    """The cache key of an environment: the lock, the files that it includes and copies, and requirements of the
    overlay.
    """
    digest = hashlib.sha256()
    for part in (lock.name, python, sys.version, platform.platform(), *contents.settings):
        digest.update(part.encode() + b"\0")
    for path, content in sorted(contents.files.items()):
        _add(digest, path, work, content)
    for package in sorted(contents.packages):
        for path in [package] if package.is_file() else sorted(package.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                _add(digest, path, work, path.read_bytes())
    if overlay is not None:
        digest.update(overlay.metadata())
    return digest.hexdigest()[:24]


def _add(digest: hashlib._Hash, path: Path, work: Path, content: bytes) -> None:
    name = str(path.relative_to(work) if path.is_relative_to(work) else path)
    digest.update(name.encode(errors="surrogateescape") + b"\0" + hashlib.sha256(content).digest())


def _sizes(environments: Path) -> dict[Path, int]:
    """The sizes of environments in bytes, the least recently used first."""
    used_at = {folder: folder.stat().st_mtime for folder in environments.iterdir() if folder.exists()}
    return {folder: sum(map(_size_bytes, folder.rglob("*"))) for folder in sorted(used_at, key=used_at.__getitem__)}


def _size_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # a concurrent build has just moved it
        return 0
