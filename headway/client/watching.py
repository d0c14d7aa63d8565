"""Watching jobs, workers and the queue over one connection, which is made again when it was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from httpx_sse import connect_sse

from headway.client.connection import RETRIES_SECONDS, TIMEOUT_SECONDS, Connection, error_of
from headway.client.job_handle import JobHandle
from headway.client.message import Message
from headway.errors import HeadwayError, Unavailable, error_from_answer

_SILENT_SECONDS = 60.0
"""A server sends something each 15 s."""
_RECONNECT_SECONDS = (*RETRIES_SECONDS, *[2.0] * 30)
Topic = str | JobHandle | Mapping[str, Any]


def watch(connection: Connection, topics: tuple[Topic, ...]) -> Iterator[Message]:
    """The frames of these topics, until nothing more comes. See `Client.watch`."""
    open_topics = {_name(topic): topic for topic in map(_topic, topics)}
    waits = iter(_RECONNECT_SECONDS)
    while open_topics:
        try:
            for frame in _frames(connection, [json.dumps(topic) for topic in open_topics.values()]):
                waits = iter(_RECONNECT_SECONDS)
                name = str(frame.pop("subscription", ""))
                kind, cursor = frame.pop("kind"), frame.pop("cursor", "")
                if kind == "refused":
                    problem = frame["problem"]
                    raise error_from_answer(problem["status"], json.dumps(problem).encode())
                if kind == "closed":
                    open_topics.pop(name, None)
                elif name in open_topics and kind not in ("subscribed", "unsubscribed"):
                    if cursor:
                        open_topics[name]["cursor"] = cursor
                    yield Message(kind, frame, cursor, name)
                if not open_topics:
                    return
        except HeadwayError as error:
            wait_seconds = next(waits, None)
            if not error.retryable or wait_seconds is None:
                raise
            time.sleep(wait_seconds)


def _topic(topic: Topic) -> dict[str, Any]:
    if isinstance(topic, JobHandle):
        return {"topic": "job", "job": topic.id, "id": topic.name}
    return {"topic": topic} if isinstance(topic, str) else dict(topic)


def _name(topic: Mapping[str, Any]) -> str:
    return str(topic.get("id") or (f"job:{topic.get('job')}" if topic["topic"] == "job" else topic["topic"]))


def _frames(connection: Connection, topics: list[str]) -> Iterator[dict[str, Any]]:
    timeout = httpx.Timeout(TIMEOUT_SECONDS, read=_SILENT_SECONDS)
    try:
        with connect_sse(connection.http, "GET", "/live", params={"subscribe": topics}, timeout=timeout) as source:
            if not source.response.is_success:
                source.response.read()
                raise error_of(source.response)
            for event in source.iter_sse():
                if event.data:
                    yield event.json()
    except httpx.HTTPError as error:
        raise connection.unavailable(error) from error
    raise Unavailable("The server ended the stream. It stops, or your rights have changed.")
