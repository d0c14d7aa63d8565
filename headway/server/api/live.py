"""One live channel for all that a client watches, over server-sent events or a WebSocket with the same frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Annotated, Any, NamedTuple

from fastapi import Body, Depends, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from headway.core.invalid_fields import invalid_field
from headway.database.base import reading
from headway.errors import HeadwayError, InvalidInput
from headway.server.access import Action, admit
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import stream_of
from headway.server.api.frames import stream_answer
from headway.server.api.live_frames import LIVE_ACTION, TOPIC, LiveAction, Ping, Subscribe, Unsubscribe
from headway.server.api.live_topics import open_topic
from headway.server.api.problems import answer_of
from headway.server.api.project import ProjectHere, ProjectName
from headway.server.api.routes import Allow, guarded_router
from headway.server.server import Server
from headway.server.services.live_channel import Frames, LiveChannel, as_server_sent

router = guarded_router(prefix="/live", tags=["live"])
READ = [Depends(Allow(Action.JOBS_READ))]
_LARGEST_ACTION_BYTES = 128 << 10
_PONG = b'{"kind":"pong"}'
_GOING_AWAY = 1001


Subscriptions = Annotated[
    list[str] | None,
    Query(max_length=100, description='A topic as JSON, such as `{"topic": "jobs"}`; may be repeated.'),
]


@router.get("", dependencies=READ, response_class=StreamingResponse, responses=stream_answer("LiveFrame"))
async def open_live_channel(
    caller: CallerHere, project: ProjectHere, server: ServerHere, subscribe: Subscriptions = None
) -> StreamingResponse:
    """All that a client watches, in one stream. A WebSocket at the same address has the same frames.

    Topics: `jobs`, `job`, `workers`, `queue`. The first frame names the channel; `POST /api/v1/live/{channel}` changes
    what it carries. After a lost connection, open another channel with the last `cursor` of each subscription.
    """
    channel = server.live.new(caller, project)
    return stream_of(_events(server, channel, await _begun(server, channel, subscribe)))


class _Begun(NamedTuple):
    """The subscriptions with which a channel begins, and the frames that refuse others."""

    opened: dict[str, Frames]
    refused: list[bytes]


async def _begun(server: Server, channel: LiveChannel, subscribe: Sequence[str] | None) -> _Begun:
    begun = _Begun({}, [])
    for topic in [_parsed(TOPIC, text) for text in subscribe or ()]:
        try:
            if topic.name in begun.opened:
                raise InvalidInput(f"Two subscriptions have the id {topic.name[:80]!r}. Give one of them another id.")
            begun.opened[topic.name] = await open_topic(server, channel, topic)
        except HeadwayError as error:
            begun.refused.append(to_json(_refused(topic.name, error)))
    return begun


async def _frames(server: Server, channel: LiveChannel, begun: _Begun) -> AsyncGenerator[list[bytes]]:
    """The channel's frames, with `pong` when there were none for long."""
    async with aclosing(server.live.frames(channel)) as frames:
        async for batch in frames:
            yield [_PONG] if batch is None else [*batch, *begun.refused]
            begun.refused.clear()
            while begun.opened:  # after `welcome`, when there is a reader
                channel.subscribe(*begun.opened.popitem())


async def _events(server: Server, channel: LiveChannel, begun: _Begun) -> AsyncIterator[bytes]:
    async with aclosing(_frames(server, channel, begun)) as frames:
        async for batch in frames:
            yield as_server_sent(batch)


@router.post("/{channel}", dependencies=READ, status_code=204)
async def change_live_channel(
    channel: str, action: Annotated[LiveAction, Body()], caller: CallerHere, server: ServerHere
) -> None:
    """Subscribe, unsubscribe or ping, for a channel over server-sent events. Its stream has the answer."""
    await _act(server, server.live.of(caller, channel), action)


@router.websocket("")
async def connect_live_channel(
    websocket: WebSocket,
    caller: CallerHere,
    server: ServerHere,
    project: ProjectName = None,
    subscribe: Subscriptions = None,
) -> None:
    """The same channel over a WebSocket: the client sends actions, the server sends frames, each as a text in JSON."""
    try:
        admit(caller, Action.JOBS_READ)
        channel = server.live.new(caller, await server.projects.of_request(caller, project))
        reading.set(True)
        begun = await _begun(server, channel, subscribe)
    except HeadwayError as error:
        await websocket.send_denial_response(answer_of(error))
        return
    await websocket.accept()
    sending = asyncio.create_task(_send(websocket, _frames(server, channel, begun)))
    receiving = asyncio.create_task(_receive(websocket, server, channel))
    try:
        await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done() and not receiving.done():
            with suppress(WebSocketDisconnect, RuntimeError):
                await websocket.close(_GOING_AWAY, "The server stops. Connect again, with your cursors.")
    finally:
        sending.cancel()
        receiving.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


async def _send(websocket: WebSocket, frames: AsyncGenerator[list[bytes]]) -> None:
    """Send until the server stops. A client that reads nothing for a minute is disconnected: see `http_protocol`."""
    with suppress(WebSocketDisconnect):
        async with aclosing(frames):
            async for batch in frames:
                for frame in batch:
                    await websocket.send_text(frame.decode())


async def _receive(websocket: WebSocket, server: Server, channel: LiveChannel) -> None:
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        name: str | None = None
        try:
            action = _parsed(LIVE_ACTION, message.get("text") or message.get("bytes") or "")
            name = action.to.name if isinstance(action, Subscribe) else getattr(action, "id", None)
            await _act(server, channel, action)
        except HeadwayError as error:
            await channel.say(_refused(name, error))


async def _act(server: Server, channel: LiveChannel, action: LiveAction) -> None:
    match action:
        case Subscribe():
            channel.check_new(action.to.name)
            frames = await open_topic(server, channel, action.to)
            channel.check_new(action.to.name)  # another action may have been first meanwhile
            channel.subscribe(action.to.name, frames)
        case Unsubscribe():
            await channel.unsubscribe(action.id)
        case Ping():
            await channel.say({"kind": "pong"})


def _refused(name: str | None, error: HeadwayError) -> dict[str, Any]:
    problem = answer_of(error).body
    return {"kind": "refused", "subscription": name, "problem": _PROBLEM.validate_json(bytes(problem))}


_PROBLEM: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def _parsed(adapter: TypeAdapter[Any], text: str | bytes) -> Any:
    """What a client sent. Raises InvalidInput."""
    if len(text) > _LARGEST_ACTION_BYTES:
        raise InvalidInput(f"What was sent has {len(text):,} bytes; {_LARGEST_ACTION_BYTES:,} are allowed.")
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise InvalidInput(invalid_field(dict(error.errors()[0]), None).sentence) from error
