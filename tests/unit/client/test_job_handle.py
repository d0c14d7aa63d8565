"""Job handles in a program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from headway.client.connection import Connection
from headway.client.job_handle import JobHandle
from headway.client.logins import TokenAuth
from headway.client.message import Message
from headway.core.json_value import check_json
from headway.errors import InvalidInput, Unavailable


@pytest.mark.parametrize("value", [math.inf, 2**70, "\udcff", object(), {1: 2}, b"x", {"a": {"b": [math.nan]}}])
def test_a_program_is_told_which_value_json_does_not_have(value: object) -> None:
    connection = Connection("http://127.0.0.1:1", TokenAuth("token"))
    with pytest.raises(InvalidInput, match=r"^parameters(\.|:)"):
        connection.request("POST", "/jobs", json={"parameters": {"x": value} if not isinstance(value, dict) else value})
    with pytest.raises(InvalidInput, match=r"^arguments\.0"):
        JobHandle(connection, {"id": "j-a"}).rerun(arguments=[value])
    check_json({"a": [1, 2.5, None, True, "ü", {"b": ()}]})


def test_the_log_so_far_ends_with_unfinished_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(rank: int, text: str, *, partial: bool = False) -> dict[str, Any]:
        return {"attempt": 1, "worker": "w", "rank": rank, "text": text, "partial": partial}

    pages = [
        {"lines": [line(0, "10%", partial=True), line(1, "5%", partial=True)]},
        {"lines": [line(0, "20%", partial=True), line(1, "one"), line(0, "30%", partial=True)]},
    ]
    monkeypatch.setattr(JobHandle, "_pages", lambda _, noun: iter(pages))
    handle = JobHandle.__new__(JobHandle)
    assert [one["text"] for one in handle.logs()] == ["one", "30%"]


def test_a_follower_is_told_that_the_server_is_away_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a server that does not answer twice after the first event, then nothing is lost or told twice."""
    started = Message("event", {"type": "attempt.started"}, "1")
    ended = Message("end", {"status": "succeeded"}, "2")
    answers: list[list[Message] | None] = [[started], None, None, [ended]]
    cursors = []

    def follow_once(_handle: JobHandle, _include: str, cursor: str | None) -> Iterator[Message]:
        cursors.append(cursor)
        found = answers.pop(0)
        if found is None:
            raise Unavailable("No server answers.")
        yield from found

    monkeypatch.setattr(JobHandle, "_follow_once", follow_once)
    monkeypatch.setattr("headway.client.job_handle.time.sleep", lambda _seconds: None)
    handle = JobHandle(Connection("http://127.0.0.1:1", TokenAuth("token")), {"id": "j-a"})
    assert [message.kind for message in handle.follow()] == ["event", "away", "back", "end"]
    assert cursors == [None, "1", "1", "1"]
