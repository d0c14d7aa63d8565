"""The brokers that a worker is connected to, and what each is used for."""

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
    """A broker, made again for each connection, and its uses."""

    make: Callable[[], WorkerBroker]
    uses: Sequence[Use]

    async def keep(self, connected: Callable[[], None]) -> None:
        """Connect and use the broker, again whenever its connection ends; `connected` is called each time.

        What follows from a refusal is decided by the answer to the next heartbeat.
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
    """What a worker does with brokers: it receives wake-ups, and sends reports, sealed where others might send some."""

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
    """The worker's connection to the server, and to other brokers if that has such. Raises SettingInvalid.

    `server_url`: the server that is asked now, for another may lead when a connection is made again.
    `wakeups_url` and `reports_url` take the place of what the server says. Reports go sealed through other brokers.
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
    """Makes a worker's side of a broker, again for each connection. Raises SettingInvalid for a URL that cannot be."""
    made: Callable[[str, str], WorkerBroker] = backend("worker_broker", url)
    made(url, worker)
    return lambda: made(url, worker)
