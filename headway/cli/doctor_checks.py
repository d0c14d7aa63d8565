"""The checks of `headway doctor`. Each yields the problems that it finds, with their fixes. Nothing is changed."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from headway import __version__
from headway.backend_registry import backend
from headway.caches.base import Cache
from headway.cli.common import damaged_rows
from headway.client import Client
from headway.client.connection import client_home, server_url
from headway.core.allocation import FLEET
from headway.core.problem import Problem, clock_problems
from headway.errors import HeadwayError, NotAuthenticated, SettingInvalid, TokenExpired
from headway.redaction import redacted
from headway.settings import load_settings

_TIMEOUT_SECONDS = 5.0
_LEAST_FREE_BYTES = 2 << 30
_LEAST_SHARED_MEMORY_BYTES = 256 << 20
_LEAST_OPEN_FILES = 1024
_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def check_settings() -> Iterator[Problem]:
    """The HEADWAY_* variables."""
    try:
        settings = load_settings(os.environ)
    except SettingInvalid as error:
        yield Problem(error.message, "Correct the variable, or unset it. See docs/reference/settings.md.")
        return
    for folder in settings.dataset_directories:
        if not folder.is_dir():
            yield Problem(
                f"HEADWAY_DATASET_DIRECTORIES names {folder}, which is not a folder.", f"mkdir {folder}, or unset it."
            )


def check_home() -> Iterator[Problem]:
    """The folder of all state, and its permissions."""
    home = client_home()
    if not home.exists():
        return  # the first start creates it
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Problem(f"The home {home} is not a folder that you can write to.", "Set HEADWAY_HOME to another folder.")
        return
    for name in ("secret", "user.token", "worker.token"):
        path = home / name
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Problem(f"{path} can be read by others on this machine.", f"chmod 600 {path}")
    free_bytes = shutil.disk_usage(home).free
    if free_bytes < _LEAST_FREE_BYTES:
        yield Problem(
            f"The disk of {home} has {free_bytes / 1e9:.1f} GB left. Logs, models and datasets need more.",
            "Free some space, or move the home and set HEADWAY_HOME.",
        )


def check_backends() -> Iterator[Problem]:
    """Each configured backend: connection, credentials, permissions, version, replication, clock."""
    try:
        settings = load_settings(os.environ)
    except SettingInvalid:
        return  # check_settings reports it
    if urlsplit(settings.effective_database_url).scheme == "sqlite":
        yield from _sqlite_problems()
    found = {
        "HEADWAY_DATABASE_URL": ("database", settings.database_url, ()),
        "HEADWAY_OBJECTS_URL": ("objects", settings.objects_url, ()),
        "HEADWAY_WAKEUPS_URL": ("broker", settings.effective_wakeups_url, ()),
        "HEADWAY_REPORTS_URL": ("broker", settings.effective_reports_url, ()),
        "HEADWAY_CACHE_URL": ("cache", settings.cache_url, (settings.cache_bytes,)),
    }
    for setting, (kind, url, arguments) in found.items():
        if url is None or urlsplit(url).scheme in ("sqlite", "embedded", "memory"):
            continue
        if setting == "HEADWAY_REPORTS_URL" and url == settings.effective_wakeups_url:
            continue
        try:
            yield from asyncio.run(_problems(backend(kind, url)(url, *arguments)))
        except HeadwayError as error:
            yield Problem(
                f"{setting} is {redacted(url)}: {error.message}", "Start it, or correct the address, user or password."
            )


def check_engines() -> Iterator[Problem]:
    """Each configured engine: connection, permissions, and whether its workers can reach the server."""
    try:
        settings = load_settings(os.environ)
    except SettingInvalid:
        return  # check_settings reports it
    server = settings.advertised_url or f"http://{settings.host}:{settings.port}"
    for url in settings.engine_urls:
        try:
            yield from asyncio.run(backend("engine", url)(url).problems(server))
        except HeadwayError as error:
            yield Problem(
                f"HEADWAY_ENGINE_URLS has {redacted(url)}: {error.message}",
                "Correct the URL or the kubeconfig file; `kubectl get pods` shows whether the cluster answers.",
            )


async def _problems(one: Any) -> list[Problem]:
    if isinstance(one, Cache):
        await one.open()
    try:
        found: list[Problem] = await one.problems()
        return found
    finally:
        await one.close()


def _sqlite_problems() -> Iterator[Problem]:
    from headway.database.tables import MAIN_REVISION

    path = client_home() / "headway.db"
    if not path.exists() or os.environ.get("HEADWAY_DATABASE_URL"):
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_TIMEOUT_SECONDS)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        yield Problem(f"{path} cannot be read: {error}.", "Restore it from a backup, or choose another --home.")
        return
    if row is not None and row[0] > MAIN_REVISION:
        yield Problem(
            f"{path} was written by a newer Headway (schema {row[0]}; this one knows {MAIN_REVISION}).",
            "Update this installation: pip install --upgrade headway",
        )


def check_server() -> Iterator[Problem]:
    """Whether a server of this version answers and accepts the token."""
    url = server_url()
    if urlsplit(url).scheme not in ("http", "https"):
        yield Problem(f"HEADWAY_SERVER_URL is {url}, which is not an http address.", "Write http://HOST:8420")
        return
    try:
        answer = httpx.get(f"{url}/version", timeout=_TIMEOUT_SECONDS)
        version = answer.json()["version"]
    except httpx.HTTPError as error:
        yield Problem(
            f"No server answers at {url} ({error or type(error).__name__}).",
            "Start one with `headway up`, or set HEADWAY_SERVER_URL.",
        )
        return
    except (ValueError, KeyError, TypeError):
        yield Problem(
            f"The server at {url} is not Headway.", "Set HEADWAY_SERVER_URL, or start Headway on another --port."
        )
        return
    if version != __version__:
        yield Problem(f"The server is Headway {version}, this is {__version__}.", "Install the same version in both.")
    yield from _clock_problems(answer)
    try:
        with Client() as client:
            client.jobs(limit=1)
            yield from _worker_problems(client)
            yield from _damage_problems(client)
    except TokenExpired as error:
        sentence = f"{error.message.partition('. ')[0]}."
        yield Problem(sentence, f"Copy user.token from that server's home to {client_home() / 'user.token'}.")
    except NotAuthenticated:
        yield Problem(
            "The server refuses your token: it belongs to another installation.",
            f"Copy user.token from that server's home to {client_home() / 'user.token'}, or set HEADWAY_TOKEN.",
        )
    except SettingInvalid:
        yield Problem(
            f"There is no token: {client_home() / 'user.token'} does not exist.",
            "Copy it from the server's home, or set HEADWAY_TOKEN, or HEADWAY_HOME to that home.",
        )
    except HeadwayError as error:
        yield Problem(error.message, "The server's log says more.")


def _clock_problems(answer: httpx.Response) -> Iterator[Problem]:
    date = answer.headers.get("date")
    if date is not None:
        yield from clock_problems("the server's", parsedate_to_datetime(date).timestamp(), time.time())


def _worker_problems(client: Client) -> Iterator[Problem]:
    workers = client.workers()
    if not workers and os.environ.get("HEADWAY_DEFAULT_ENGINE", FLEET) == FLEET:
        yield Problem(
            "No worker is connected, so jobs will wait.",
            f"Start one: headway worker --server {client.url} --token-file WORKER.TOKEN",
        )
    for worker in workers:
        if worker["version"] != __version__:
            yield Problem(
                f"Worker {worker['name']} is Headway {worker['version']}, this is {__version__}.",
                "Install the same version on its machine.",
            )


def _damage_problems(client: Client) -> Iterator[Problem]:
    found = damaged_rows(client)
    if found:
        yield Problem(
            f"{len(found)} stored {'row' if len(found) == 1 else 'rows'} cannot be read: "
            f"{found[0]['kind']} {found[0]['name']}: {found[0]['reason']}",
            "Restore a backup. `headway damaged` lists the rows and can delete them.",
        )


def check_network() -> Iterator[Problem]:
    """What may block connections on this machine."""
    host = urlsplit(server_url()).hostname or ""
    if host in ("127.0.0.1", "localhost", "::1"):
        proxy = next((name for name in _PROXIES if os.environ.get(name)), None)
        bypassed = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
        if proxy and host not in bypassed and bypassed != "*":
            yield Problem(
                f"{proxy} sends requests for {host} to a proxy, which cannot reach this machine.",
                f'export NO_PROXY="{host},$NO_PROXY"',
            )
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        yield Problem(
            f"This machine's own name {socket.gethostname()} does not resolve. gloo needs it.",
            f"Add it to /etc/hosts: 127.0.1.1 {socket.gethostname()}",
        )


def check_training() -> Iterator[Problem]:
    """Whether ranks can run here."""
    if find_spec("torch") is None:
        yield Problem(
            "torch is not installed here, so this machine cannot train. It can submit jobs and run a server.",
            "pip install 'headway[torch]', unless workers run elsewhere.",
        )
        return
    program = "import torch; print(torch.cuda.is_available())"
    ran = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        reason = ran.stderr.strip().rpartition("\n")[2]
        yield Problem(
            f"torch is installed but cannot be imported: {reason}",
            "Install it again: pip install --force-reinstall torch",
        )
    elif shutil.which("nvidia-smi") and ran.stdout.strip() == "False":
        yield Problem(
            "There is an NVIDIA driver, but torch finds no GPU.", "Install the torch that fits its CUDA version."
        )
    if find_spec("uv") is None and shutil.which("uv") is None:
        yield Problem("Environments from lock files need uv.", "pip install uv")


def check_limits() -> Iterator[Problem]:
    """Limits of the operating system that long training jobs reach."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_OPEN_FILES:
        yield Problem(
            f"A process may open only {soft} files.", f"ulimit -n {min(hard, 65_536)} before starting Headway."
        )
    shared = Path("/dev/shm")  # noqa: S108 - where DataLoader's workers pass batches
    if shared.is_dir() and shutil.disk_usage(shared).total < _LEAST_SHARED_MEMORY_BYTES:
        yield Problem(
            f"{shared} has {shutil.disk_usage(shared).total >> 20} MB; DataLoader's workers need more.",
            "In Docker: --shm-size=2g; in Kubernetes: mount an emptyDir of medium Memory there.",
        )


CHECKS: dict[str, Callable[[], Iterator[Problem]]] = {
    "settings": check_settings,
    "home": check_home,
    "backends": check_backends,
    "engines": check_engines,
    "server": check_server,
    "network": check_network,
    "training": check_training,
    "limits": check_limits,
}
"""The checks by title, in their order."""
