"""Reports are sent until they are committed, within a window, even if the broker fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from headway.brokers.base import WorkerBroker
from headway.core.facts import Released, WorkerFailed
from headway.core.job import WakeUp
from headway.core.protocol import AssignmentKey, CommittedStream
from headway.errors import Corrupt, Unavailable
from headway.formats.reports import decode_logs, decode_report
from headway.worker import outbox as outbox_module
from headway.worker.counters import WorkerCounters
from headway.worker.outbox import Outbox
from headway.worker.spool import SpooledStream, stream_folder

pytestmark = pytest.mark.anyio
KEY = AssignmentKey(job="j-1", attempt=1, worker="w-1")


class Broker(WorkerBroker):
    """A broker that records the numbers of its reports, 0 for anything else. From number `fails_at` on it is down."""

    def __init__(self, fails_at: int = 1_000) -> None:
        self.sent: list[int] = []
        self._fails_at = fails_at

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def wakeup(self) -> WakeUp:
        raise NotImplementedError

    async def publish_report(self, body: bytes, job: str) -> None:
        try:
            number = decode_report(body).number
        except Corrupt:
            number = 0
        if number >= self._fails_at:
            raise Unavailable("The broker is gone.")
        self.sent.append(number)


def a_stream(home: Path, reports: int, *, ended: bool = False) -> SpooledStream:
    stream = SpooledStream(stream_folder(home, KEY), KEY)
    for number in range(1, reports + 1):
        stream.add(stream.write((), [], [], {}, last=ended and number == reports))
    return stream


async def send(outbox: Outbox, broker: Broker, until: Callable[[], bool]) -> None:
    """Let the outbox send until a condition is true, or its connection ends."""

    async def watch() -> None:
        while not until():
            await asyncio.sleep(0)

    await _first(outbox.run(broker, bytes), watch())


async def _first(*coroutines: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    done, late = await asyncio.wait(tasks, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()


async def test_a_report_whose_connection_ends_while_it_is_sent_is_sent_again(tmp_path: Path) -> None:
    """Given a report that is being sent, when the worker drops the connection, then the next connection sends it."""

    class Stuck(Broker):
        async def publish_report(self, body: bytes, job: str) -> None:
            sending.set()
            await asyncio.Event().wait()

    sending = asyncio.Event()
    outbox, broker = Outbox(lambda: None, WorkerCounters()), Broker()
    outbox.add(a_stream(tmp_path, 2))
    running = asyncio.create_task(outbox.run(Stuck(), bytes))
    await sending.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    outbox.restart()
    await send(outbox, broker, lambda: len(broker.sent) == 2)
    assert broker.sent == [1, 2]


async def test_reports_are_sent_in_order_and_forgotten_once_committed(tmp_path: Path) -> None:
    outbox, broker = Outbox(lambda: None, WorkerCounters()), Broker()
    outbox.add(a_stream(tmp_path, 3, ended=True))
    await send(outbox, broker, lambda: len(broker.sent) == 3)
    assert broker.sent == [1, 2, 3]
    assert not outbox.committed(CommittedStream(stream=KEY, through=2))
    assert outbox.keys() == (KEY,)
    assert outbox.committed(CommittedStream(stream=KEY, through=3)), "that was its last report"
    assert not outbox.sends(KEY)
    assert not stream_folder(tmp_path, KEY).exists()
    assert not outbox.committed(CommittedStream(stream=KEY, through=3)), "it is no longer known"


async def test_reports_of_a_broken_connection_are_sent_again(tmp_path: Path) -> None:
    """Given a connection that ends at the third of four reports, when it is opened again, then all four are sent."""
    outbox, broker = Outbox(lambda: None, WorkerCounters()), Broker(fails_at=3)
    outbox.add(a_stream(tmp_path, 4))
    with pytest.raises(Unavailable):
        await send(outbox, broker, lambda: False)
    assert broker.sent == [1, 2]
    outbox.restart()
    again = Broker()
    await send(outbox, again, lambda: len(again.sent) == 4)
    assert again.sent == [1, 2, 3, 4]


async def test_reports_not_committed_for_two_heartbeats_are_sent_again(tmp_path: Path) -> None:
    outbox, broker = Outbox(lambda: None, WorkerCounters()), Broker()
    outbox.add(a_stream(tmp_path, 3))
    await send(outbox, broker, lambda: len(broker.sent) == 3)
    for _ in range(3):
        outbox.committed(CommittedStream(stream=KEY, through=1))
    await send(outbox, broker, lambda: len(broker.sent) == 5)
    assert broker.sent == [1, 2, 3, 2, 3]


async def test_at_most_a_window_is_in_transit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a full window and more reports, then a heartbeat is triggered, whose answer opens the window."""
    asked: list[None] = []
    outbox, broker = Outbox(lambda: asked.append(None), WorkerCounters()), Broker()
    stream = a_stream(tmp_path, 3)
    monkeypatch.setattr(outbox_module, "_WINDOW_BYTES", len(stream.read(1)))
    outbox.add(stream)
    await send(outbox, broker, lambda: bool(asked))
    assert broker.sent == [1, 2]
    outbox.committed(CommittedStream(stream=KEY, through=2))
    await send(outbox, broker, lambda: len(broker.sent) == 3)
    assert broker.sent == [1, 2, 3]


async def test_a_report_that_the_server_cannot_read_is_replaced_by_one_that_says_so(tmp_path: Path) -> None:
    """Given a second report that the server cannot read, then the attempt ends with that cause and no report waits."""
    outbox, broker = Outbox(lambda: None, WorkerCounters()), Broker()
    stream = a_stream(tmp_path, 3)
    outbox.add(stream)
    await send(outbox, broker, lambda: len(broker.sent) == 3)
    for _ in range(9):
        outbox.committed(CommittedStream(stream=KEY, through=1, unreadable=(2,)))
        await send(outbox, broker, lambda: not stream.unsent)
    assert broker.sent[:4] == [1, 2, 3, 2], "at once"
    report = decode_report(stream.read(2))
    (failed,) = report.facts
    assert isinstance(failed, WorkerFailed)
    assert failed.error == (
        "Report 2 of worker w-1 about this attempt could not be read by the server, so its content is lost."
    )
    assert [line.text for line in decode_logs(report.logs)] == [f"headway: {failed.error}"]
    assert outbox.counters.replaced_reports == 1


@pytest.mark.parametrize("damage", ["changed", "deleted"])
async def test_a_report_that_was_damaged_on_the_disk_is_not_sent_forever(tmp_path: Path, damage: str) -> None:
    outbox, broker = Outbox(lambda: None, WorkerCounters()), Broker()
    stream = a_stream(tmp_path, 3, ended=True)
    path = stream_folder(tmp_path, KEY) / "0000000003.report"
    if damage == "changed":
        path.write_bytes(path.read_bytes()[:-4])
    else:
        path.unlink()
    outbox.add(stream)
    await send(outbox, broker, lambda: not stream.unsent)
    for _ in range(3):
        outbox.committed(CommittedStream(stream=KEY, through=2))
    await send(outbox, broker, lambda: not stream.unsent)
    report = decode_report(stream.read(3))
    assert report.last
    assert list(map(type, report.facts)) == [WorkerFailed, Released]
    assert broker.sent[-1] == 3
    assert outbox.committed(CommittedStream(stream=KEY, through=3)), "nothing is missing now"
