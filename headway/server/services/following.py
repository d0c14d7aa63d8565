"""Following jobs: what is there from a cursor on, then what comes, until the job has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Set
from contextlib import contextmanager

from pydantic_core import to_json

from headway.brokers.base import Broker
from headway.core.job import Job, WakeUp
from headway.core.status import AssignmentState
from headway.errors import NotFound, Unavailable
from headway.server.access import Caller
from headway.server.services.cursor import Cursor
from headway.server.services.jobs import Jobs
from headway.server.services.live_job import BATCH_BYTES, Batch, Frame, LiveJob
from headway.server.services.streams import Item, StreamKind, Streams
from headway.server.watchers import Watchers

_log = logging.getLogger(__name__)
_PAGE_BYTES = 512 << 10
"""Of what a follower reads by itself at once: what one that is not read holds of it."""
_PASS_SECONDS = 0.1
"""Time between reads of a followed job: what comes meanwhile is sent together."""
_MAXIMUM_PASSES_AHEAD = 100
"""That a follower waits whose cursor is ahead. A cursor that is ahead for longer is not of this job."""
_KEEP_ALIVE_SECONDS = 15.0
_UNAVAILABLE_SECONDS = 1.0


class Following:
    """A job that is followed is read once for all who follow the same kinds of it, however many they are."""

    def __init__(self, jobs: Jobs, streams: Streams, watchers: Watchers, broker: Broker) -> None:
        """`broker` brings wake-ups to workers, which then ask for news and hear that a job is followed."""
        self._jobs = jobs
        self._streams = streams
        self._watchers = watchers
        self._broker = broker
        self._live: dict[str, dict[frozenset[StreamKind], LiveJob]] = {}
        self._wakes: set[asyncio.Task[None]] = set()

    def is_watched(self, job_id: str) -> bool:
        """Whether anyone follows the job's logs or metrics: then its workers send reports more often."""
        return any(kinds != {"events"} for kinds in self._live.get(job_id, ()))

    async def follow(
        self, caller: Caller, project: str, reference: str, cursor: Cursor, kinds: Collection[StreamKind]
    ) -> AsyncIterator[Batch | None]:
        """What there is of a job after the cursor and what comes, until it has ended and all of it was sent, or the
        server stops.

        None: nothing new for long. Raises NotFound, NotAllowed, Damaged, Overloaded.
        """
        job = await self._jobs.get(caller, project, reference)
        self._watchers.check_room()
        return self._follow(job.id, cursor, frozenset(kinds))

    async def _follow(self, job_id: str, cursor: Cursor, kinds: frozenset[StreamKind]) -> AsyncIterator[Batch | None]:
        with self._watchers.counted(), self._live_job(job_id, kinds) as live:
            number = -1
            while not self._watchers.closed:
                if (batch := live.batch(number) if 0 <= number < live.next_number else None) is not None:
                    number += 1
                    cursor = batch.cursor
                    yield batch
                elif number < live.next_number:  # new here, or too slow
                    await self._wait_for_place(live, cursor)
                    number, limit = live.next_number, live.position
                    cursor = cursor.copy()
                    async for page in self._pages(job_id, cursor, kinds, limit):
                        yield page
                    cursor = limit
                elif live.ended:
                    if live.last is not None:
                        yield Batch([live.last], cursor)
                    return
                elif not await live.wait(_KEEP_ALIVE_SECONDS):
                    yield None

    async def _wait_for_place(self, live: LiveJob, cursor: Cursor) -> None:
        """Wait until all followers together are as far as this one, which would otherwise get things twice."""
        await live.started.wait()
        for _ in range(_MAXIMUM_PASSES_AHEAD):
            if live.ended or live.position.covers(cursor):
                return
            await asyncio.sleep(_PASS_SECONDS)

    async def _pages(
        self, job_id: str, cursor: Cursor, kinds: frozenset[StreamKind], limit: Cursor
    ) -> AsyncIterator[Batch]:
        """What one follower reads by itself up to a place. Nothing decoded is held while a page is sent."""
        while not self._watchers.closed:
            frames: list[Frame] = []
            size = 0
            try:
                job = await self._jobs.by_id(job_id)
                items = self._streams.read_job(job, cursor, kinds, limit)
                async for item in items:
                    frames.append(_frame(item))
                    size += len(frames[-1].body)
                    if size >= _PAGE_BYTES:
                        break
                await items.aclose()
            except Unavailable:
                size = _PAGE_BYTES  # it was not read to the end
                await asyncio.sleep(_UNAVAILABLE_SECONDS)
            if frames:
                yield Batch(frames, cursor.copy())
            if size < _PAGE_BYTES:
                return

    @contextmanager
    def _live_job(self, job_id: str, kinds: frozenset[StreamKind]) -> Iterator[LiveJob]:
        """The job as all of its followers share it; it is read as long as there are any."""
        of_job = self._live.setdefault(job_id, {})
        live = of_job.get(kinds)
        if live is None or live.ended:
            live = of_job[kinds] = LiveJob()
            live.task = asyncio.create_task(self._keep_reading(live, job_id, kinds), name=f"follow {job_id}")
        live.following += 1
        try:
            yield live
        finally:
            live.following -= 1
            if not live.following:
                if of_job.get(kinds) is live:
                    del of_job[kinds]
                if not of_job and self._live.get(job_id) is of_job:
                    del self._live[job_id]
                if live.task is not None:
                    live.task.cancel()

    async def _keep_reading(self, live: LiveJob, job_id: str, kinds: frozenset[StreamKind]) -> None:
        try:
            await self._read_until_end(live, job_id, kinds)
        except NotFound:
            pass  # it was deleted: the streams end, and who asks again hears so
        except Exception:
            _log.exception("A defect while job %s is followed; its followers have to ask again.", job_id)
        finally:
            live.end()

    async def _read_until_end(self, live: LiveJob, job_id: str, kinds: frozenset[StreamKind]) -> None:
        position: Cursor | None = None
        woken: set[WakeUp] = set()
        with self._watchers.following(job_id) as changed:
            while not self._watchers.closed:
                changed.clear()
                try:
                    job = await self._jobs.by_id(job_id)
                    if self.is_watched(job_id):
                        woken = self._wake_workers(job, woken)
                    if position is None:
                        position = await self._streams.position(job, kinds)
                    await self._publish_new(live, job, position, kinds)
                except Unavailable:
                    await asyncio.sleep(_UNAVAILABLE_SECONDS)
                    continue
                if job.status.terminal and not job.events:
                    end = {"status": job.status.value, "sentence": job.sentence}
                    live.last = _frame(Item("end", end, position.encode()))
                    return
                live.started.set()
                await asyncio.sleep(_PASS_SECONDS)
                await changed.wait()

    def _wake_workers(self, job: Job, woken: Set[WakeUp]) -> set[WakeUp]:
        """Let each worker that runs the job hear at once that it is followed. Returns those that have been woken."""
        if (attempt := job.attempt) is None:
            return set()
        running = {
            WakeUp(worker=one.worker, job=job.id, attempt=attempt.number)
            for one in attempt.assignments
            if one.state is AssignmentState.RUNNING
        }
        for wakeup in running - woken:
            task = asyncio.create_task(self._broker.publish_wakeup(wakeup))  # followers wait for no broker
            self._wakes.add(task)
            task.add_done_callback(self._wakes.discard)
        return running

    async def _publish_new(self, live: LiveJob, job: Job, position: Cursor, kinds: frozenset[StreamKind]) -> None:
        frames: list[Frame] = []
        size = 0
        try:
            async for item in self._streams.read_job(job, position, kinds):
                frames.append(_frame(item))
                size += len(frames[-1].body)
                if size >= BATCH_BYTES:
                    live.publish(frames, position)
                    frames, size = [], 0
        finally:
            live.publish(frames, position)  # what was read is sent, even if the database goes away meanwhile


def _frame(item: Item) -> Frame:
    return Frame(item.kind, to_json({"kind": item.kind, **item.data}, inf_nan_mode="strings"), item.cursor)
