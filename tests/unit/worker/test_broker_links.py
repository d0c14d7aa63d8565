"""A refused broker connection is logged once and tried again, in the old form of refusal and in the new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from headway.brokers.base import WorkerBroker
from headway.brokers.embedded import EmbeddedWorkerBroker
from headway.errors import NotAuthenticated, Unavailable, WorkerLost
from headway.worker import broker_links
from headway.worker.broker_links import BrokerLink

pytestmark = pytest.mark.anyio


async def closes_with_4401(connection: ServerConnection) -> None:
    """The way older servers refuse: they accept the handshake, then close."""
    await connection.close(4401, "The token is not valid for this installation.")


def refuses(status: int, body: str) -> Callable[[ServerConnection, Request], Response]:
    return lambda connection, _: connection.respond(HTTPStatus(status), body)


async def wake_up(url: str) -> None:
    broker = EmbeddedWorkerBroker(url, "token")
    try:
        await broker.open()
        await broker.wakeup()
    finally:
        await broker.close()


async def test_an_older_server_accepts_and_closes() -> None:
    async with websockets.asyncio.server.serve(closes_with_4401, "127.0.0.1", 0) as server:
        (address,) = (one.getsockname() for one in server.sockets)
        with pytest.raises(NotAuthenticated, match="not valid for this installation"):
            await wake_up(f"ws://127.0.0.1:{address[1]}/")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, '{"code": "not_authenticated", "detail": "No such token."}', NotAuthenticated),
        (410, '{"code": "worker_lost", "detail": "Register again."}', WorkerLost),
        (401, "", NotAuthenticated),
        (503, "", Unavailable),
    ],
)
async def test_a_refused_handshake_is_the_error_that_it_names(status: int, body: str, error: type[Exception]) -> None:
    handshake = refuses(status, body)
    async with websockets.asyncio.server.serve(closes_with_4401, "127.0.0.1", 0, process_request=handshake) as server:
        (address,) = (one.getsockname() for one in server.sockets)
        with pytest.raises(error):
            await wake_up(f"ws://127.0.0.1:{address[1]}/")


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_refusal_is_logged_once_and_tried_again(
    at_once: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server that refuses at the handshake or after it, then the worker logs it once and keeps trying."""
    monkeypatch.setattr(broker_links, "_RETRY_SECONDS", 0.0)
    tried = asyncio.Queue[None]()

    class Refusing(EmbeddedWorkerBroker):
        async def open(self) -> None:
            tried.put_nowait(None)
            if at_once:
                raise NotAuthenticated("No such token.")

    async def use(_: WorkerBroker) -> None:
        raise NotAuthenticated("No such token.")

    uses: list[Callable[[WorkerBroker], Awaitable[None]]] = [use]
    link = BrokerLink(lambda: Refusing("ws://127.0.0.1:9", "token"), uses)  # type: ignore[arg-type]
    keeping = asyncio.create_task(link.keep(lambda: None))
    for _ in range(5):
        await tried.get()
    while not keeping.done():
        keeping.cancel()  # a task group that has just failed swallows the cancellation
        await asyncio.sleep(0)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["The broker's connection failed: No such token."]
