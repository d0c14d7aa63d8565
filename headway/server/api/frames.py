"""What streams and pages of streams consist of: frames, told apart by their `kind`, and the records within them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from headway.core.job import Event
from headway.server.api.job_rows import JobRow
from headway.server.api.number import Number


class StreamLine(BaseModel):
    """One line that a rank printed."""

    rank: int
    """The rank that printed it; -1 for a line of Headway's own."""
    at: float
    """When the worker read it, in seconds since the epoch."""
    text: str
    """The line without its end."""
    partial: bool
    """It has no end yet, such as a bar. The rank's next line takes its place."""
    repeated: bool
    """The attempt printed it behind the checkpoint from which a later attempt continued."""


class StreamSeries(BaseModel):
    """New points of one metric of one rank."""

    name: str
    rank: int
    steps: list[int]
    values: list[Number]


class EventFrame(Event):
    """An event of the followed job."""

    kind: Literal["event"]


class ReportFrame(BaseModel):
    """What the ranks of one worker printed and logged since its report before."""

    kind: Literal["report"]
    attempt: int
    worker: str
    """The worker's id."""
    lines: list[StreamLine]
    series: list[StreamSeries]


class EndFrame(BaseModel):
    """The job has ended and all of it was sent. The stream ends with this frame."""

    kind: Literal["end"]
    status: str
    sentence: str


class JobFrame(BaseModel):
    """A job as it is now, without what a list does not show."""

    kind: Literal["job"]
    job: JobRow


class DeletedFrame(BaseModel):
    """The job with this id was deleted."""

    kind: Literal["deleted"]
    id: str


class ReadyFrame(BaseModel):
    """All jobs were sent. What follows are changes."""

    kind: Literal["ready"]


FollowFrame = Annotated[EventFrame | ReportFrame | EndFrame, Field(discriminator="kind")]
"""A frame of one job's stream."""
JobsFrame = Annotated[JobFrame | DeletedFrame | ReadyFrame, Field(discriminator="kind")]
"""A frame of the stream of all jobs."""
FRAMES: dict[str, TypeAdapter[Any]] = {"FollowFrame": TypeAdapter(FollowFrame), "JobsFrame": TypeAdapter(JobsFrame)}
"""The kinds of streams, by the name of their schema."""


class EventPage(BaseModel):
    """Events by number, and the cursor behind them."""

    events: list[Event]
    cursor: str


class LogLineView(StreamLine):
    """One line that a rank printed, and in which attempt on which worker."""

    attempt: int
    worker: str
    """The worker's id."""


class LogPage(BaseModel):
    """Log lines, and the cursor behind them. A page without lines is the end for now."""

    lines: list[LogLineView]
    cursor: str


class FoundLine(BaseModel):
    """A line that a search found."""

    attempt: int
    worker: str
    """The worker's id."""
    rank: int
    """The rank that printed it; -1 for a line of Headway's own."""
    at: float
    """When the worker read it, in seconds since the epoch."""
    text: str
    """The line without its end."""
    partial: bool
    """It has no end yet, such as a bar."""


class FoundLogPage(BaseModel):
    """Log lines in the order in which they were printed, and the cursor of the page before them; null: none is."""

    lines: list[FoundLine]
    cursor: str | None


class MetricSeries(BaseModel):
    """The points of one metric of one rank, thinned where there are too many for one answer."""

    name: str
    rank: int
    count: int
    """How many points there are."""
    thinned: bool
    """Whether points are left out. Each bucket gives its least and its greatest."""
    steps: list[int]
    times: list[float]
    """When each point was logged, in seconds since the epoch."""
    values: list[Number]


class MetricsAnswer(BaseModel):
    """The series of a job, or of one attempt."""

    job: str
    attempt: int | None
    """The attempt that was asked for; null: all, as one line."""
    repeated_points: int
    """How many points are left out because a later attempt repeated their steps."""
    points: int
    """How many points a series has at most."""
    series: list[MetricSeries]
    cursor: str
    """From here a client continues to follow: it has all points up to here, and none behind it."""


def stream_answer(frames: str) -> dict[int | str, dict[str, Any]]:
    """What the API's document says of a route that answers with a stream of these frames."""
    content = {"text/event-stream": {"schema": {"$ref": f"#/components/schemas/{frames}"}}}
    return {200: {"description": "Server-sent events; the schema is that of each one's `data`.", "content": content}}


def page_answer(page: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The same of a route with pages. A stream beside it would make a union of every answer."""
    words = "A page. With `Accept: text/event-stream` a stream instead: `FollowFrame`s, as those of `follow_job`."
    return {200: {"description": words, "model": page}}
