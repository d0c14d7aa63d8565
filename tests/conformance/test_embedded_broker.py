"""The broker inside the server: its own inputs and outputs."""

from __future__ import annotations

import asyncio

import pytest

from headway.brokers.embedded import EmbeddedBroker
from headway.core.job import WakeUp

pytestmark = pytest.mark.anyio


async def test_wakeups_reach_the_worker_that_is_attached() -> None:
    broker = EmbeddedBroker("embedded:")
    wakeup = WakeUp(worker="w", job="j", attempt=1)
    await broker.publish_wakeup(wakeup)  # no worker is connected: it may be lost, heartbeats have the same content
    async with broker.attached("w") as first, broker.attached("w") as second:
        await broker.publish_wakeup(wakeup)
        assert second.get_nowait() == wakeup
        assert first.empty()  # the newer connection has taken over


async def test_reports_come_in_order_with_their_position() -> None:
    broker = EmbeddedBroker("embedded:")
    for body in (b"1", b"2", b"3"):
        await broker.receive_report(body)
    assert await broker.position() == 3
    assert await broker.reports(2) == ([b"1", b"2"], 2)
    assert await broker.reports(2) == ([b"3"], 3)
    waiting = asyncio.create_task(broker.reports(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    await broker.receive_report(b"4")
    assert await waiting == ([b"4"], 4)
