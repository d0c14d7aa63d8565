"""New events have an actor; old rows have none."""

from __future__ import annotations

import json

from headway.core.actor import Actor, ActorKind
from headway.core.job import Event, Job, JobSpec
from headway.core.job_change import attributed, emit
from tests.new_job import new_job

USER = Actor(kind=ActorKind.USER, credential="t-1")
WORKER = Actor(kind=ActorKind.WORKER, worker="w-1")
JOB = new_job(JobSpec(script="s.py", source=""))


def test_events_name_the_actor_of_their_change() -> None:
    once = attributed(JOB, emit(JOB, "job.submitted", 1.0), USER)
    twice = attributed(once, emit(once, "attempt.started", 2.0), WORKER)
    assert [event.actor for event in twice.events] == [USER, WORKER]


def test_the_first_actor_of_an_event_stays() -> None:
    reported = attributed(JOB, emit(JOB, "attempt.started", 1.0), WORKER)
    assert [event.actor for event in attributed(JOB, reported, USER).events] == [WORKER]


def test_a_change_without_events_or_without_an_actor_is_left_as_it_is() -> None:
    changed = JOB.model_copy(update={"notes": "x"})
    assert attributed(JOB, changed, USER) is changed
    told = emit(JOB, "attempt.placed", 1.0)
    assert attributed(JOB, told, None) is told


def test_rows_from_before_actors_are_read_without_one() -> None:
    stored = json.loads(emit(JOB, "job.submitted", 1.0).model_dump_json())
    del stored["submitted_by"], stored["events"][0]["actor"]
    job = Job.model_validate(stored)
    assert (job.submitted_by, job.events[0].actor) == (None, None)
    assert Event.model_validate({"number": 1, "type": "t", "at": 1.0}).actor is None
