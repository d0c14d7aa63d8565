"""Log lines backwards from the end, by rank, attempt, time and text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headway.core.facts import RankStarted
from headway.formats.reports import LogLine, encode_logs
from tests.api.conftest import Api, SpokenWorker

pytestmark = pytest.mark.anyio


async def started(api: Api) -> tuple[str, SpokenWorker]:
    job, worker = await api.placed(name="mine")
    await worker.claim(job)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
    return job, worker


async def print_lines(api: Api, worker: SpokenWorker, job: str, *lines: LogLine) -> None:
    report = worker.a_report(job)
    await api.server.recorder.record([replace(report, logs=encode_logs(report.number, lines))])


async def search(api: Api, **query: Any) -> dict[str, Any]:
    return (await api.http.get("/api/v1/jobs/mine/logs/search", params=query)).json()


async def texts(api: Api, **query: Any) -> list[str]:
    return [line["text"] for line in (await search(api, **query))["lines"]]


async def test_pages_from_the_end_have_each_line_once_though_more_are_printed(api: Api) -> None:
    """Given a reader that pages back while the job prints on, then it gets what there was when it began."""
    job, worker = await started(api)
    for number in range(25):
        await print_lines(api, worker, job, LogLine(0, float(number), f"line {number}"))
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await search(api, lines=10, **cursor)
        pages.append([line["text"] for line in page["lines"]])
        await print_lines(api, worker, job, LogLine(0, 99.0, "later"))
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}
    assert pages[0] == [f"line {number}" for number in range(15, 25)]
    assert [line for page in reversed(pages) for line in page] == [f"line {number}" for number in range(25)]
    await worker.run_to_the_end(job)
    assert len(await texts(api, lines=10_000)) == 25 + len(pages)


async def test_lines_are_found_by_rank_time_text_and_attempt(api: Api) -> None:
    job, worker = await started(api)
    await print_lines(api, worker, job, LogLine(0, 1.0, "epoch 1"), LogLine(1, 2.0, "epoch 1"), LogLine(1, 3.0, "loss"))
    await print_lines(api, worker, job, LogLine(0, 4.0, "epoch 2"), LogLine(0, 5.0, "done", partial=True))
    assert await texts(api, text="epoch") == ["epoch 1", "epoch 1", "epoch 2"]
    assert await texts(api, rank=1) == ["epoch 1", "loss"]
    assert await texts(api, since=2.0, until=4.0) == ["epoch 1", "loss"]
    assert await texts(api, text="%") == []
    assert await texts(api, attempt=2) == []
    assert (await search(api, text="done"))["lines"][0]["partial"]
    assert (await search(api, cursor="broken"))["code"] == "invalid_input"
