"""How a worker reads a server's answers, also those of a newer server."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from headway import __version__
from headway.core.job import JobSpec
from headway.core.protocol import Claimed, Heartbeat, HeartbeatAnswer, OpenAssignment
from headway.core.status import AssignmentState
from headway.errors import AnswerUnreadable, Unavailable
from headway.worker.connection import Connection

pytestmark = pytest.mark.anyio

CLAIMED = Claimed(
    job="j-1",
    job_name="train-1",
    project="default",
    attempt=1,
    spec=JobSpec(command=("true",)),
    dataset=None,
    first_rank=0,
    rank_count=1,
    world_size=1,
    group_rank=0,
    group_count=1,
    endpoint=None,
    rank_token="token",
)


def connection_to(answer: Any) -> Connection:
    connection = Connection("http://server:1")

    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=json.dumps(answer))

    connection._http = httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="http://server:1")
    return connection


def with_news(value: Any) -> Any:
    """The same value with an unknown field in each object."""
    if isinstance(value, dict):
        return {**{name: with_news(one) for name, one in value.items()}, "since_next_version": [1]}
    return [with_news(one) for one in value] if isinstance(value, list) else value


async def test_new_fields_of_a_newer_server_are_ignored() -> None:
    listed = OpenAssignment(job="j-1", attempt=1, state=AssignmentState.RUNNING, ready=True)
    answer = HeartbeatAnswer(counter=7, assignments=(listed,))
    connection = connection_to(with_news(answer.model_dump(mode="json")))
    assert await connection.heartbeat(Heartbeat(counter=7, last_answer=6), timeout_seconds=1) == answer
    claimed = CLAIMED.model_dump(mode="json")
    claimed["spec"] = with_news({"command": ["true"]})
    connection = connection_to({**claimed, "since_next_version": 1})
    assert await connection.claim("j-1", 1, "host:1") == CLAIMED


async def test_work_of_a_kind_that_only_newer_workers_know_is_named_with_what_to_do() -> None:
    """Given a claimed job of an unknown kind, then the error names this worker's version."""
    claimed = CLAIMED.model_dump(mode="json")
    claimed["spec"] = {"notebook": "train.ipynb"}
    with pytest.raises(AnswerUnreadable, match=rf"spec: .*give one of.*Headway {__version__}. Update it"):
        await connection_to(claimed).claim("j-1", 1, "host:1")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, content=b"archive"), None),
        (httpx.Response(503, text="<Error/>"), "The object store at store answers 503"),
        (httpx.ConnectError("refused"), "The object store at store does not answer: refused"),
    ],
)
async def test_a_file_comes_from_the_object_store_to_which_the_server_leads(
    answer: httpx.Response | httpx.ConnectError, words: str | None
) -> None:
    """Given a link to a store, then the token is not sent there, and its failures are not called the server's."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.host == "server":
            assert request.headers["authorization"] == "Bearer "
            return httpx.Response(307, headers={"Location": "http://store/key?signature=s"})
        assert "authorization" not in request.headers
        if isinstance(answer, Exception):
            raise httpx.ConnectError(str(answer), request=request)
        return answer

    connection = Connection("http://server:1,http://other:1")
    connection._http = httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="http://server:1")
    if words is None:
        assert b"".join([chunk async for chunk in connection.snapshot("a" * 64)]) == b"archive"
    else:
        with pytest.raises(Unavailable, match=words):
            [chunk async for chunk in connection.snapshot("a" * 64)]
        assert connection.server_url == "http://server:1", "this server answered"
