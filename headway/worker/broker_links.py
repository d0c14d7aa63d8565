"""The brokers that a worker is connected to, and the use of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urljoin

from headway.backend_registry import backend
from headway.brokers.base import WorkerBroker
from headway.brokers.embedded import EmbeddedWorkerBroker
from headway.core.protocol import Registered
from headway.errors import Unavailable

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 5.0

Use = Callable[[WorkerBroker], Coroutine[Any, Any, None]]


class BrokerLink(NamedTuple):
    """Creates a broker for each connection, and knows its uses."""

    make: Callable[[], WorkerBroker]
    uses: Sequence[Use]

    async def keep(self, connected: Callable[[], None]) -> None:
        """Connect and use the broker, again each time its connection ends. Each time `connected` is called.

        If the server refuses the connection, the answer to the next heartbeat decides what happens.
        """
        said = ""
        while True:
            broker = self.make()
            try:
                await broker.open()
                connected()
                async with asyncio.TaskGroup() as group:
                    for use in self.uses:
                        group.create_task(use(broker))
            except* Unavailable as away:
                _log.debug("%s", away.exceptions[0])
            except* Exception as failed:
                words = str(failed.exceptions[0])
                if words != said:
                    _log.error("The broker's connection failed: %s", words)
                said = words
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await broker.close()
            await asyncio.sleep(_RETRY_SECONDS)


class Uses(NamedTuple):
    """The uses of a broker: receive wake-ups, and send reports. They are sealed if others can write to it."""

    receive: Use
    send_plain: Use
    send_sealed: Use


def broker_links(
    registered: Registered,
    server_url: Callable[[], str],
    uses: Uses,
    *,
    wakeups_url: str | None,
    reports_url: str | None,
) -> list[BrokerLink]:
    """The worker's connection to the server, and to other brokers that the server uses. Raises SettingInvalid.

    `server_url` gives the current server: another one may lead when the worker reconnects. `wakeups_url` and
    `reports_url` replace the URLs that the server names. Reports through other brokers are sealed.
    """

    def embedded() -> WorkerBroker:
        return EmbeddedWorkerBroker(urljoin(server_url().replace("http", "ws", 1), registered.broker), registered.token)

    receive, send_plain, send_sealed = uses
    wakeups = registered.assignments and (wakeups_url or registered.assignments)
    reports = registered.reports and (reports_url or registered.reports)
    links = [BrokerLink(embedded, [receive] if reports else [receive, send_plain])]
    if wakeups and wakeups == reports:
        links.append(BrokerLink(_external(wakeups, registered.id), [receive, send_sealed]))
    else:
        links += [BrokerLink(_external(wakeups, registered.id), [receive])] if wakeups else []
        links += [BrokerLink(_external(reports, registered.id), [send_sealed])] if reports else []
    return links


def _external(url: str, worker: str) -> Callable[[], WorkerBroker]:
    """Returns a function that creates the worker's side of a broker. Raises SettingInvalid for an invalid URL."""
    made: Callable[[str, str], WorkerBroker] = backend("worker_broker", url)
    made(url, worker)
    return lambda: made(url, worker)
