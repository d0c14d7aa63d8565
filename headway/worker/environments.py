"""The software that jobs run with: the worker's own, another interpreter, or a venv built from a lock file."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import platform
import shutil
import signal
import sys
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from headway.core.environment import Environment
from headway.errors import CannotStartRanks, EnvironmentFailed
from headway.worker.forkserver import Forkserver

_log = logging.getLogger(__name__)
_WARM = 2
"""Forkservers kept beside the worker's own, each some hundred megabytes: those of the environments used last."""
_OLDEST_PYTHON = (3, 11)
_PACKAGE = Path(__file__).parent.parent
_COMPLETE = "headway-complete"
_SAID_LINES = 12
_KEPT_LINES = 1_000
_PIECE_BYTES = 1 << 16
_ERROR_SIGNS = ("error", "×")  # noqa: RUF001
"""What the first line of a failure begins with; before it is progress."""
_DISK_FULL = os.strerror(errno.ENOSPC)
_DECORATION = " ×╰─▶│"  # noqa: RUF001 - what uv draws around its messages


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
        """Keep the worker's own forkserver warm for ever; when cancelled, end all of them."""
        try:
            await self.own.run()
        finally:
            for _, task in self._warm.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._warm.values()), return_exceptions=True)

    async def acquire(self, environment: Environment, work: Path, say: Callable[[str], None]) -> Forkserver:
        """The forkserver of an environment, which stays until released; `say` gets the lines of a build.

        Raises EnvironmentFailed when the environment cannot be had, CannotStartRanks when this worker is to blame.
        """
        if not environment.foreign:
            await self.own.wait_until_warm()
            return self.own
        python = await self._python(environment, work, say)
        if python not in self._warm:
            forkserver = Forkserver(self._threads, python, self._packages())
            self._warm[python] = (forkserver, asyncio.create_task(forkserver.run()))
        self._warm.move_to_end(python)
        self._used[python] = self._used.get(python, 0) + 1
        forkserver = self._warm[python][0]
        await self._cool()
        try:
            await forkserver.wait_until_warm()
        except CannotStartRanks as error:
            self.release(forkserver)
            self._warm.pop(python)[1].cancel()
            raise EnvironmentFailed(f"{python} cannot start ranks: {error}") from error
        return forkserver

    def release(self, forkserver: Forkserver) -> None:
        """The attempt that acquired it needs it no more."""
        if forkserver.python in self._used:
            self._used[forkserver.python] -= 1

    async def _cool(self) -> None:
        """End the forkservers that were not used lately."""
        for python in [python for python in self._warm if not self._used.get(python)]:
            if len(self._warm) <= _WARM:
                return
            _, task = self._warm.pop(python)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _packages(self) -> Path:
        """A folder from which nothing but Headway itself can be imported."""
        folder = self._home / "packages"
        link = folder / _PACKAGE.name
        if not link.exists():
            folder.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(_PACKAGE)
        return folder

    async def _python(self, environment: Environment, work: Path, say: Callable[[str], None]) -> Path:
        if environment.lock is not None:
            return await self._built(work / environment.lock, environment.python, say)
        python = Path(environment.python or sys.executable)
        if not python.is_absolute() or not os.access(python, os.X_OK) or not python.is_file():
            raise EnvironmentFailed(f"{python} is not the path of an interpreter on this worker.")
        await self._check_version(python)
        return python

    async def _check_version(self, python: Path) -> None:
        answer = await _run([str(python), "-c", "import sys; print(*sys.version_info[:2])"], lambda _line: None)
        try:
            version = tuple(int(part) for part in answer[-1].split())
        except (ValueError, IndexError):
            raise EnvironmentFailed(f"{python} is not a Python interpreter.") from None
        if version < _OLDEST_PYTHON:
            raise EnvironmentFailed(f"{python} is Python {answer[-1].replace(' ', '.')}; 3.11 or newer is needed.")

    async def _built(self, lock: Path, python: str | None, say: Callable[[str], None]) -> Path:
        """The interpreter of the lock's venv, built unless it is there already."""
        try:
            content = lock.read_bytes()
            if lock.name == "uv.lock":
                content += (lock.parent / "pyproject.toml").read_bytes()
        except OSError as error:
            raise EnvironmentFailed(f"{error.filename} is not in the working directory.") from error
        wanted = f"{lock.name} {python or sys.version} {platform.platform()}".encode()
        key = hashlib.sha256(wanted + content).hexdigest()[:24]
        folder = self._home / "environments" / key
        async with self._building.setdefault(key, asyncio.Lock()):
            if not ((folder / _COMPLETE).exists() and (folder / "bin" / "python").exists()):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                say(f"Building the environment of {lock.name}; it is kept for later jobs.")
                await self._build(lock, python or sys.executable, folder, say)
                (folder / _COMPLETE).touch()
                await asyncio.to_thread(self._evict, keep=folder)
            os.utime(folder)
        return folder / "bin" / "python"

    async def _build(self, lock: Path, python: str, folder: Path, say: Callable[[str], None]) -> None:
        uv = _find_uv()
        interpreter = str(folder / "bin" / "python")
        steps = [[uv, "venv", "--quiet", "--python", python, str(folder)]]
        if lock.name == "uv.lock":
            steps.append([uv, "sync", "--frozen", "--no-install-project", "--project", str(lock.parent)])
        else:
            steps.append([uv, "pip", "install", "--python", interpreter, "--requirement", str(lock)])
        try:
            for step in steps:
                await _run(step, say, UV_PROJECT_ENVIRONMENT=str(folder), UV_NO_PROGRESS="1")
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise

    def _evict(self, keep: Path) -> None:
        folders = [path for path in (self._home / "environments").iterdir() if (path / _COMPLETE).exists()]
        sizes = {path: _size_bytes(path) for path in folders}
        total_bytes = sum(sizes.values())
        for path in sorted(folders, key=lambda path: path.stat().st_mtime):
            if total_bytes <= self._maximum_bytes:
                return
            if path != keep and not self._used.get(path / "bin" / "python"):
                shutil.rmtree(path, ignore_errors=True)
                total_bytes -= sizes[path]
                _log.info("Environment %s was dropped to make room.", path.name)


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _find_uv() -> str:
    if find_spec("uv") is not None:
        from uv import find_uv_bin

        return str(find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise EnvironmentFailed("This worker has no uv to build it with: pip install 'headway[torch]', or uv itself.")
    return found


async def _lines_of(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """What a program prints, line by line; one that is too long comes in pieces."""
    unread = b""
    while process.stdout is not None and (content := await process.stdout.read(_PIECE_BYTES)):
        *whole, unread = (unread + content).split(b"\n")
        if len(unread) > _PIECE_BYTES:
            whole, unread = [*whole, unread], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip()
    if unread:
        yield unread.decode(errors="replace").rstrip()


async def _run(command: list[str], say: Callable[[str], None], **variables: str) -> list[str]:
    """Run a program; its lines. Raises EnvironmentFailed with what it said last, CannotStartRanks for a full disk."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "VIRTUAL_ENV"))
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**environment, **variables},
        start_new_session=True,
    )
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        async for line in _lines_of(process):
            kept.append(line)
            say(line)
        status = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            await process.wait()
    lines = [*kept]
    if status != 0:
        first = next((n for n, line in enumerate(lines) if line.lstrip().startswith(_ERROR_SIGNS)), 0)
        said = " ".join(line.strip(_DECORATION) for line in lines[first:][-_SAID_LINES:] if line.strip())
        if _DISK_FULL in said:
            raise CannotStartRanks(said)
        raise EnvironmentFailed(said or f"{command[0]} ended with status {status}.")
    return lines
