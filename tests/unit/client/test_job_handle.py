"""What a program gives to the client."""

from __future__ import annotations

import math
from typing import Any

import pytest

from headway.client.connection import Connection
from headway.client.job_handle import JobHandle
from headway.core.json_value import check_json
from headway.errors import InvalidInput


@pytest.mark.parametrize("value", [math.inf, 2**70, "\udcff", object(), {1: 2}, b"x", {"a": {"b": [math.nan]}}])
def test_a_program_is_told_which_value_json_does_not_have(value: object) -> None:
    connection = Connection("http://127.0.0.1:1", "token")
    with pytest.raises(InvalidInput, match=r"^parameters(\.|:)"):
        connection.request("POST", "/jobs", json={"parameters": {"x": value} if not isinstance(value, dict) else value})
    with pytest.raises(InvalidInput, match=r"^arguments\.0"):
        JobHandle(connection, {"id": "j-a"}).rerun(arguments=[value])
    check_json({"a": [1, 2.5, None, True, "ü", {"b": ()}]})


def test_the_log_so_far_ends_with_what_has_no_end_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    def line(rank: int, text: str, *, partial: bool = False) -> dict[str, Any]:
        return {"attempt": 1, "worker": "w", "rank": rank, "text": text, "partial": partial}

    pages = [
        {"lines": [line(0, "10%", partial=True), line(1, "5%", partial=True)]},
        {"lines": [line(0, "20%", partial=True), line(1, "one"), line(0, "30%", partial=True)]},
    ]
    monkeypatch.setattr(JobHandle, "_pages", lambda _, noun: iter(pages))
    handle = JobHandle.__new__(JobHandle)
    assert [one["text"] for one in handle.logs()] == ["one", "30%"]
