"""Running the server in this process until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import uvicorn

from headway import __version__
from headway.brokers.embedded import EmbeddedBroker
from headway.errors import SettingInvalid
from headway.formats.reports import MAXIMUM_REPORT_BYTES
from headway.server.api.links import link_path
from headway.server.app import create_app
from headway.server.certificates import check_exposure, keep_certificate
from headway.server.clock import Clock
from headway.server.http_protocol import BoundedHttp, RefusableWebSocket
from headway.server.server import Server
from headway.server.standby import Standby
from headway.server.startup import started
from headway.settings import Settings

_log = logging.getLogger(__name__)
_SHUTDOWN_SECONDS = 3
_TICK_SECONDS = 1.0
_OPEN_FILES = 16_384
_LEAST_FILES = 128
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104

Beside = Callable[[str, str], Coroutine[Any, Any, None]]
"""A function to run beside the server. It gets the server's URL, and a URL that opens it once in a browser."""


class _Http(uvicorn.Server):
    """uvicorn without its own signal handlers: what runs beside the server has to end before the server does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Finish the current answers, then stop."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        # uvicorn checks ten times a second whether to stop. That is a third of the CPU time of an idle server.
        while not self.should_exit:
            await self.on_tick(0)  # renews the Date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def serve(
    settings: Settings,
    beside: Beside | None = None,
    *,
    embedded: EmbeddedBroker | None = None,
    clock: Clock | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `beside` starts once the server answers, and is cancelled before the server stops.

    The drill replaces `embedded` and `clock`. Raises SettingInvalid when a setting is wrong, the port is taken, or a
    backend cannot be used.
    """
    check_exposure(settings)
    _allow_many_files()
    os.umask(0o077)  # files written from here on are private to the owner
    listener = _listen(settings.host, settings.port)
    scheme = "http" if settings.tls_certificate is None else "https"
    url = f"{scheme}://{_in_url(settings.host)}:{listener.getsockname()[1]}"
    seams = partial(Server, settings, embedded=embedded, clock=clock)
    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="uvloop").get_loop_factory()) as runner:
        runner.run(_run(seams, listener, url, beside))


def _allow_many_files() -> None:
    """Raise the soft limit of open files: each connection is one. The default of 1,024 is for programs that use
    select().

    Raises SettingInvalid if the hard limit is too low for a server.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < _LEAST_FILES:
        raise SettingInvalid(
            f"This process may open {wanted} files, and a server needs {_LEAST_FILES}, with one more for each "
            "connection. Raise the limit: ulimit -n 4096"
        )


def _config(server: Server) -> uvicorn.Config:
    settings = server.settings
    return uvicorn.Config(
        create_app(server),
        loop="uvloop",
        http=BoundedHttp,
        ws=RefusableWebSocket,
        ws_max_size=MAXIMUM_REPORT_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="warning",
        access_log=False,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips=",".join(settings.proxy_addresses),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        lifespan="off",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


async def _run(
    make_server: Callable[[], Server],
    listener: socket.socket,
    url: str,
    beside: Beside | None,
) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    while not stopped.is_set():
        server = make_server()
        async with AsyncExitStack() as stack:
            if await _leads(server, stack, listener, url, stopped):
                await _serve(server, listener, url, beside, stopped)


async def _leads(
    server: Server, stack: AsyncExitStack, listener: socket.socket, url: str, stopped: asyncio.Event
) -> bool:
    """Start the server. While another leads, forward connections to it. False if it is stopped before it leads."""
    advertised = server.settings.advertised_url or url
    if (
        server.backends.database.shared
        and server.settings.advertised_url is None
        and server.settings.host in _ANY_ADDRESS
    ):
        raise SettingInvalid(
            f"This server listens on {server.settings.host}. Set HEADWAY_ADVERTISED_URL to the URL where "
            "the other servers on its database can reach it, such as http://HOST:PORT."
        )

    def leader_url() -> str | None:
        found = server.leading.leader_url if server.leading else None
        return None if found == advertised else found  # our own previous run, or another machine's 127.0.0.1

    standby = Standby(listener, leader_url)
    standing_by = asyncio.create_task(standby.run()) if server.backends.database.shared else None
    starting = asyncio.create_task(stack.enter_async_context(started(server, advertised)))
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return False
        starting.result()
        return True
    finally:
        for task in (starting, stopping, standing_by):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _serve(
    server: Server,
    listener: socket.socket,
    url: str,
    beside: Beside | None,
    stopped: asyncio.Event,
) -> None:
    """Serve until `stopped`, or until another server leads."""
    http = _Http(_config(server))
    settings = server.settings
    serving = asyncio.create_task(http.serve(sockets=[listener.dup()]))
    while not http.started and not serving.done():
        await asyncio.sleep(0.01)
    if http.started:
        gc.freeze()  # a full garbage collection over everything loaded would pause the server
        known_as = url if settings.tls_key is None else settings.advertised_url or url  # the name in the certificate
        (settings.home / "server.url").write_text(known_as + "\n")
        _log.info("Headway %s answers at %s", __version__, url)
        companion = asyncio.create_task(beside(url, url + link_path(server.links.make()))) if beside else None
        ends = {serving, asyncio.create_task(stopped.wait())}
        if server.leading is not None:
            ends.add(asyncio.create_task(server.leading.over.wait()))
        keeping = None
        if http.config.ssl is not None and settings.tls_certificate is not None and settings.tls_key is not None:
            files = settings.tls_certificate, settings.tls_key
            keeping = asyncio.create_task(keep_certificate(http.config.ssl, *files))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (*(ends - {serving}), companion, keeping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        server.job_feed.close()
        server.watchers.close()  # ends the streams; otherwise uvicorn would wait for them, then cancel them
        http.end()
    await serving


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingInvalid(
            f"Cannot listen on port {port} of {host}: {error.strerror}. Stop the program that uses "
            "it, or choose another --port."
        ) from error
    listener.listen(1024)
    return listener


def _in_url(host: str) -> str:
    if host in _ANY_ADDRESS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
