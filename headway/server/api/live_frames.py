"""What a live channel carries: frames told apart by their `kind`, and what clients send."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from headway.core.frozen import Frozen
from headway.server.api.frames import DeletedFrame, EndFrame, EventFrame, JobFrame, ReadyFrame, ReportFrame
from headway.server.api.problems import Problem
from headway.server.api.worker_views import WorkerView

_Word = Annotated[str, Field(min_length=1, max_length=100)]
_Cursor = Annotated[str | None, Field(default=None, max_length=65_536)]


class _Subscription(Frozen):
    id: Annotated[str | None, Field(default=None, min_length=1, max_length=100)]
    """The name of the subscription, which each of its frames has. Default: the topic, or `job:` and the job."""

    @property
    def name(self) -> str:
        """The name of the subscription."""
        return self.id or str(getattr(self, "topic", ""))


class JobsTopic(_Subscription):
    """All jobs of the project: `job` for each, `ready`, then `job` and `deleted` as they change."""

    topic: Literal["jobs"]
    cursor: _Cursor
    """That of the last frame, to continue behind it. A server that does not know it begins with all jobs."""


class JobTopic(_Subscription):
    """One job: `event` and `report`, then `end`."""

    topic: Literal["job"]
    job: _Word
    """Its id or name."""
    include: tuple[Literal["events", "logs", "metrics", "samples"], ...] = ("events", "logs", "metrics")
    """Samples are what workers measure: `system/...`."""
    cursor: _Cursor
    """That of the last frame, of a page or of a metrics answer, to continue behind it."""

    @property
    def name(self) -> str:
        """The name of the subscription."""
        return self.id or f"job:{self.job}"


class WorkersTopic(_Subscription):
    """The connected workers: `worker` for each, then `worker` and `worker_gone` as they change."""

    topic: Literal["workers"]


class QueueTopic(_Subscription):
    """The project's places in the queue: `queue`, whenever they change."""

    topic: Literal["queue"]


Topic = Annotated[JobsTopic | JobTopic | WorkersTopic | QueueTopic, Field(discriminator="topic")]
TOPIC: TypeAdapter[Topic] = TypeAdapter(Topic)


class Subscribe(Frozen):
    """Add a subscription. The answer is `subscribed`, or `refused`."""

    action: Literal["subscribe"]
    to: Topic


class Unsubscribe(Frozen):
    """End a subscription. The answer is `unsubscribed`, or `refused`."""

    action: Literal["unsubscribe"]
    id: _Word


class Ping(Frozen):
    """The answer is `pong`."""

    action: Literal["ping"]


LiveAction = Annotated[Subscribe | Unsubscribe | Ping, Field(discriminator="action")]
"""What a client sends over a WebSocket, or to `POST /api/v1/live/{channel}`."""
LIVE_ACTION: TypeAdapter[LiveAction] = TypeAdapter(LiveAction)


class Subscribed(BaseModel):
    """What each frame of a subscription has."""

    subscription: str
    """The name of the subscription."""
    cursor: str
    """The place behind this frame; empty if a new subscription begins with everything anyway."""


class LiveEvent(EventFrame, Subscribed):
    """An event of a job."""


class LiveReport(ReportFrame, Subscribed):
    """What the ranks of one worker printed and logged since its report before."""


class LiveEnd(EndFrame, Subscribed):
    """The job has ended and all of it was sent."""


class LiveJobRow(JobFrame, Subscribed):
    """A job of the list as it is now."""


class LiveDeleted(DeletedFrame, Subscribed):
    """The job with this id was deleted."""


class LiveReady(ReadyFrame, Subscribed):
    """All jobs were sent. What follows are changes."""


class WorkerFrame(Subscribed):
    """A worker as it is now."""

    kind: Literal["worker"]
    worker: WorkerView


class WorkerGoneFrame(Subscribed):
    """The worker with this id is not connected any more."""

    kind: Literal["worker_gone"]
    id: str


class QueueFrame(Subscribed):
    """The place of each waiting job of the project, from 1, by its id. Jobs of other projects count in it."""

    kind: Literal["queue"]
    positions: dict[str, int]


class WelcomeFrame(BaseModel):
    """The first frame. `POST /api/v1/live/{channel}` takes what a WebSocket would."""

    kind: Literal["welcome"]
    channel: str


class SubscribedFrame(BaseModel):
    """The subscription begins."""

    kind: Literal["subscribed"]
    subscription: str


class UnsubscribedFrame(BaseModel):
    """The subscription has ended, because the client asked."""

    kind: Literal["unsubscribed"]
    subscription: str


class ClosedFrame(BaseModel):
    """The subscription has ended, because nothing more comes: the job has ended or was deleted."""

    kind: Literal["closed"]
    subscription: str


class RefusedFrame(BaseModel):
    """What the client asked is not possible. The channel continues."""

    kind: Literal["refused"]
    subscription: str | None
    problem: Problem


class PongFrame(BaseModel):
    """The answer to `ping`; also sent when nothing else was for 15 s."""

    kind: Literal["pong"]


LiveFrame = Annotated[
    LiveEvent | LiveReport | LiveEnd | LiveJobRow | LiveDeleted | LiveReady | WorkerFrame | WorkerGoneFrame
    | QueueFrame | WelcomeFrame | SubscribedFrame | UnsubscribedFrame | ClosedFrame | RefusedFrame | PongFrame,
    Field(discriminator="kind"),
]  # fmt: skip
"""A frame of a live channel."""
LIVE_FRAME: TypeAdapter[LiveFrame] = TypeAdapter(LiveFrame)


def live_channel_schema() -> dict[str, Any]:
    """The JSON schema of what goes over a channel: `LiveFrame` from the server, `LiveAction` from the client."""
    schema = LIVE_FRAME.json_schema(mode="serialization")
    actions = LIVE_ACTION.json_schema()
    definitions = {**schema.pop("$defs"), **actions.pop("$defs")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headway's live channel",
        **schema,
        "$defs": {**definitions, "LiveAction": {**actions, "description": "What a client sends."}},
    }
