"""What every store of streams promises."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from headway.core.damaged import DamagedRow, RowKind
from headway.database.base import Database
from headway.database.streams import StreamStore
from headway.formats.metrics import Series, encode_metrics
from headway.formats.reports import LogLine, Report, encode_facts, encode_logs, merge_reports

pytestmark = pytest.mark.anyio


@pytest.fixture
def streams(database: Database) -> StreamStore:
    return database.streams


def a_report(number: int, worker: str = "w", text: str = "x", **fields: object) -> Report:
    logs = encode_logs(number, [LogLine(0, 0.0, text)])
    return Report("j", 1, worker, number, number, logs=logs, **fields)


async def test_reports_are_stored_once_and_read_in_order(streams: StreamStore) -> None:
    await streams.insert([a_report(2), a_report(1), a_report(1, worker="v")])
    await streams.insert([a_report(2, text="again"), a_report(3, last=True)])
    index = await streams.index("j", 1)
    assert [(row.worker, row.number, row.last) for row in index] == [
        ("v", 1, False), ("w", 1, False), ("w", 2, False), ("w", 3, True),
    ]  # fmt: skip
    found = await streams.reports("j", 1, "w", after=1, through=9, limit=9)
    assert found == [a_report(2), a_report(3, last=True)]
    assert await streams.reports("j", 1, "w", after=0, through=1, limit=9) == [a_report(1)]


async def test_a_chunk_replaces_the_reports_it_covers(streams: StreamStore) -> None:
    reports = [a_report(number) for number in range(1, 5)]
    await streams.insert(reports)
    await streams.compact(merge_reports(reports[:3]))
    index = await streams.index("j", 1)
    assert [(row.number, row.through) for row in index] == [(1, 3), (4, 4)]
    (chunk, rest) = await streams.reports("j", 1, "w", after=2, through=9, limit=9)
    assert (chunk.through, rest.number) == (3, 4)


async def test_reports_are_read_backwards(streams: StreamStore) -> None:
    reports = [a_report(number) for number in range(1, 7)]
    await streams.insert([*reports, a_report(3, worker="v")])
    await streams.compact(merge_reports(reports[:3]))
    found = await streams.reports_before("j", 1, "w", before=6, limit=2)
    assert [(one.number, one.logs) for one in found] == [(5, reports[4].logs), (4, reports[3].logs)]
    (chunk,) = await streams.reports_before("j", 1, "w", before=3, limit=9)
    assert (chunk.number, chunk.through) == (1, 3)
    assert await streams.reports_before("j", 1, "w", before=1, limit=9) == []


async def test_large_values_survive(streams: StreamStore) -> None:
    text = "ü" * 3_000_000
    await streams.insert([a_report(1, text=text)])
    (found,) = await streams.reports("j", 1, "w", 0, 9, 9)
    assert found == a_report(1, text=text)


async def test_streams_are_measured_and_deleted_by_job(streams: StreamStore) -> None:
    mine, other = a_report(1, text="mine"), replace(a_report(1, text="other"), job="j-other")
    await streams.insert([mine, replace(mine, number=2, through=2), other])
    sizes = await streams.sizes()
    facts_bytes = len(encode_facts(()))
    assert sizes == {"j": 2 * (len(mine.logs) + facts_bytes), "j-other": len(other.logs) + facts_bytes}
    await streams.delete("j")
    assert await streams.sizes() == {"j-other": sizes["j-other"]}


async def test_metrics_sections_come_by_worker_and_number_without_reports_that_have_none(streams: StreamStore) -> None:
    def logged(number: int, worker: str) -> Report:
        series = Series("loss", 0, array("q", [number]), array("d", [1.0]), array("d", [0.5]))
        return Report("j", 1, worker, number, number, metrics=encode_metrics(number, [series]))

    reports = [logged(3, "w"), a_report(2), logged(1, "w"), logged(7, "v")]
    await streams.insert(reports)
    found = await streams.metrics_sections("j", 1)
    expected = [reports[at] for at in (3, 2, 0)]
    assert [(one.worker, one.through, one.metrics) for one in found] == [
        (report.worker, report.through, report.metrics) for report in expected
    ]
    assert await streams.metrics_sections("j", 2) == []


async def test_damaged_reports_are_deleted_alone_or_with_their_job(streams: StreamStore) -> None:
    await streams.insert([a_report(1), a_report(2), a_report(1, worker="v")])
    await streams.delete_damaged(DamagedRow(kind=RowKind.REPORT, id="j/1/w/2", name="j/1/w/2", reason=""))
    assert [(row.worker, row.number) for row in await streams.index("j", 1)] == [("v", 1), ("w", 1)]
    await streams.delete_damaged(DamagedRow(kind=RowKind.JOB, id="j", name="one", reason=""))
    assert await streams.index("j", 1) == []
