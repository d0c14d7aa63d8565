"""The order in which a server starts, and in which it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from headway.server.change_listeners import connect_listeners
from headway.server.installation import claim_objects, join_installation
from headway.server.server import Server

_log = logging.getLogger(__name__)
_RESTART_SECONDS = 1.0


@asynccontextmanager
async def started(server: Server, url: str = "") -> AsyncIterator[None]:
    """The server at work, once it leads, at `url`. Raises SettingInvalid when a backend cannot be used.

    What is entered is left in reverse: the loops end first, the backends are closed last.
    """
    backends = server.backends
    async with AsyncExitStack() as ending:
        # A wrong setting ends the start here, before anything is changed. A server that stands by goes as far as this.
        ending.push_async_callback(backends.close)
        await backends.open_stores()
        await backends.reach_brokers()
        # Its tokens are those of the other servers before it answers anyone.
        installation = await join_installation(server.settings, backends.database, server.home)
        # Only one server writes from here on: a second must neither mark objects nor take reports from the first.
        await ending.enter_async_context(_leading(server, url))
        await claim_objects(server.settings, installation, backends.database, backends.objects)
        await backends.open_brokers()
        await _recover(server)
        ending.callback(server.streams.close)
        await ending.enter_async_context(_loops(server))
        yield


@asynccontextmanager
async def _leading(server: Server, url: str) -> AsyncIterator[None]:
    """Lead where servers share a database; alone a server leads anyway."""
    leading = server.leading
    if leading is None:
        yield
        return
    await leading.acquire(url)
    keeping = asyncio.create_task(leading.keep())
    try:
        yield
    finally:
        await _cancelled(keeping)
        await leading.resign()


async def _recover(server: Server) -> None:
    """Take up what an earlier server left. Each step reads what those before it have read."""
    connect_listeners(server)
    await server.registry.open()  # the workers
    server.quarantine.open()  # by the times of the leader before, which are known by now
    await server.datasets.open()
    await server.jobs.open()  # what is unsettled; from here on changes of jobs are told
    await server.queue.open()
    await server.recorder.open()  # applies facts that were stored and not applied, before anybody is lost
    await server.workers.open()  # ends the ranks of workers that are gone


@asynccontextmanager
async def _loops(server: Server) -> AsyncIterator[None]:
    """What runs for ever beside the requests."""
    loops = (
        server.recorder.run,
        server.relay.run,
        server.scheduler.run,
        server.housekeeping.run,
        server.home.keep_renewing,
    )
    tasks = [asyncio.create_task(_run_for_ever(loop)) for loop in loops]
    server.running = True
    try:
        yield
    finally:
        await _cancelled(*tasks)
        server.running = False


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _run_for_ever(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop again if a defect of ours ends it: one bad job must not stop the others. It is logged each time."""
    while True:
        try:
            await loop()
        except Exception:
            _log.exception("A defect stopped %s; it continues in a second. Please report this.", loop.__qualname__)
            await asyncio.sleep(_RESTART_SECONDS)
