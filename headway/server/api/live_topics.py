"""Opens the topics of a live channel: each is a stream that exists by itself as well, or what is polled in memory."""

from __future__ import annotations

from pydantic_core import to_json

from headway.server.api.events import renderer
from headway.server.api.live_frames import JobsTopic, JobTopic, QueueTopic, Topic, WorkersTopic
from headway.server.api.worker_views import worker_view
from headway.server.server import Server
from headway.server.services.cursor import Cursor
from headway.server.services.live_channel import Frames, LiveChannel


async def open_topic(server: Server, channel: LiveChannel, topic: Topic) -> Frames:
    """The frames of a topic. Nothing is read before the first is asked for.

    Raises NotFound, NotAllowed, Damaged, Overloaded, InvalidInput.
    """
    caller, project = channel.caller, channel.project
    match topic:
        case JobsTopic():
            return server.job_feed.watch(caller, project, topic.cursor, renderer(server))
        case JobTopic():
            cursor = Cursor.decode(topic.cursor)
            return await server.following.follow(caller, project, topic.job, cursor, set(topic.include))
        case WorkersTopic():
            server.workers.list_connected(caller)
            return server.polling.watch(
                ("workers", caller.user_name, caller.rights), lambda: _workers(server, channel), _worker_gone
            )
        case QueueTopic():
            return server.polling.watch(("queue", project), lambda: _queue(server, project), lambda _: b"{}")


def _workers(server: Server, channel: LiveChannel) -> dict[str, bytes]:
    """The workers, by id. How long one is silent changes all the time, so it is left out while its lease holds."""
    found = {}
    for now in server.workers.list_connected(channel.caller):
        view = worker_view(now).model_copy(update={"silent_seconds": None})
        found[view.id] = b'{"kind":"worker","worker":%b}' % view.model_dump_json().encode()
    return found


def _worker_gone(worker: str) -> bytes:
    return to_json({"kind": "worker_gone", "id": worker})


def _queue(server: Server, project: str) -> dict[str, bytes]:
    positions = server.rows.places(project).positions(server.queue.of_project(project))
    return {"queue": to_json({"kind": "queue", "positions": positions})}
