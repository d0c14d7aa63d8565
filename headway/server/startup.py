"""The order in which a server starts and stops."""

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
    """Start the server, wait until it leads, and run it at `url`. Raises SettingInvalid when a backend cannot be used.

    It stops in reverse order: the loops end first, the backends are closed last.
    """
    backends = server.backends
    async with AsyncExitStack() as ending:
        # A wrong setting stops the start here, before anything is changed. A standby server waits here.
        ending.push_async_callback(backends.close)
        await backends.open_stores()
        await backends.reach_brokers()
        # It uses the same tokens as the other servers before it answers any request.
        installation = await join_installation(server.settings, backends.database, server.home)
        # From here on only one server writes: a second one must not mark objects or take the first one's reports.
        await ending.enter_async_context(_leading(server, url))
        await claim_objects(server.settings, installation, backends.database, backends.objects)
        await backends.open_brokers()
        await backends.open_engines(installation.id, url)
        await _recover(server)
        ending.callback(server.streams.close)
        await ending.enter_async_context(_loops(server))
        yield


@asynccontextmanager
async def _leading(server: Server, url: str) -> AsyncIterator[None]:
    """Become the leader, if servers share the database. A server with its own database always leads."""
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
    """Load the state that an earlier server stored. Each step needs the steps before it."""
    connect_listeners(server)
    await server.directory.open()
    await server.registry.open()  # the workers
    server.quarantine.open()  # needs the former leader's time, which is known by now
    await server.datasets.open()
    await server.jobs.open()  # the unsettled jobs; from here on listeners hear of changes
    await server.queue.open()
    await server.recorder.open()  # applies facts that were stored and not applied, before any worker is declared lost
    await server.workers.open()  # ends the ranks of workers that are gone


@asynccontextmanager
async def _loops(server: Server) -> AsyncIterator[None]:
    """Run the loops beside the requests."""
    loops = (
        server.recorder.run,
        server.relay.run,
        server.scheduler.run,
        server.housekeeping.run,
        *(allocator.run for allocator in server.allocators.values()),
        server.home.keep_renewing,
        server.access_tokens.keep_last_uses,
        server.audit.keep_refusals,
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
    """Run a loop again if a defect of ours ends it, so that one bad job does not stop the others. Log each defect."""
    while True:
        try:
            await loop()
        except Exception:
            _log.exception("A defect stopped %s; it continues in a second. Please report this.", loop.__qualname__)
            await asyncio.sleep(_RESTART_SECONDS)
