"""Both sides of a broker: the server's and the workers'."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from headway.backend_registry import backend
from headway.brokers.base import Broker, WorkerBroker
from headway.brokers.embedded import EmbeddedBroker, EmbeddedWorkerBroker
from headway.core.worker import WorkerDescription
from headway.formats.reports import LogLine, Report, encode_logs, encode_report
from headway.server.access import Caller, CallerKind
from headway.server.main import _config
from headway.server.server import Server
from headway.settings import Settings


@dataclass(frozen=True)
class Sides:
    """An open broker, and a function that creates a worker's side by the worker's name. That side is not open yet."""

    broker: Broker
    worker: Callable[[str], WorkerBroker]


@asynccontextmanager
async def external_sides(url: str) -> AsyncIterator[Sides]:
    """The sides of a broker that is a separate server."""
    broker: Broker = backend("broker", url)(url)
    await broker.open()
    yield Sides(broker, lambda name: backend("worker_broker", url)(url, name))
    await broker.close()


@asynccontextmanager
async def embedded_sides(folder: Path) -> AsyncIterator[Sides]:
    """The sides of the broker inside the server, which workers reach over HTTP. The server itself takes no reports."""
    broker = EmbeddedBroker()
    server = Server(Settings(home=folder / "home"), embedded=broker)
    backends = server.backends
    await backends.database.open()
    await server.registry.open()
    for name in ("w", "other"):
        description = WorkerDescription(name=name, slots=1, threads_per_slot=1, host="127.0.0.1", port=9)
        await server.registry.register(name, description, None, 0.0)
    http = uvicorn.Server(_config(server))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        place = f"ws://127.0.0.1:{listener.getsockname()[1]}/api/v1/workers"

        def worker(name: str) -> WorkerBroker:
            token = server.tokens.make(Caller(CallerKind.WORKER, worker=name))
            return EmbeddedWorkerBroker(f"{place}/{name}/broker", token)

        while not http.started:
            await asyncio.sleep(0.01)
        yield Sides(broker, worker)
        http.should_exit = True
        await serving
    await backends.database.close()


def a_body(number: int, text: str = "") -> bytes:
    """A report of worker w about job j."""
    return encode_report(Report("j", 1, "w", number, number, logs=encode_logs(number, [LogLine(0, 0.0, text)])))
