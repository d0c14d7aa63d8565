"""The phases of an assignment: every transition and every stop request, in any order."""

from __future__ import annotations

import re
from itertools import product
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.worker.phase import (
    PHASE_TRANSITIONS,
    Course,
    Phase,
    StopRequest,
    ask_to_stop,
    enter,
    launch,
    write_stacks,
)

NOW = 100.0
CANCEL = StopRequest(5.0)
KILL = StopRequest(0.0, store_seconds=0.0)
SHUT_DOWN = StopRequest(20.0, store_seconds=20.0, worker_stops=True)
RUNS = (Phase.RUNNING, Phase.WRITING_STACKS, Phase.STOPPING)


@pytest.mark.parametrize(("before", "after"), [*product(Phase, Phase)])
def test_only_transitions_in_the_table_are_possible(before: Phase, after: Phase) -> None:
    course = Course(before)
    if after in PHASE_TRANSITIONS[before]:
        assert enter(course, after, NOW) == Course(after)
    else:
        with pytest.raises(ValueError, match=f"cannot go from {before} to {after}"):
            enter(course, after, NOW)


def test_the_page_on_the_worker_has_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/internals/worker.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    told = {
        phase.strip("`"): {*re.findall(r"`(\w+)`", then)} for phase, _, then in (row for row in rows if len(row) == 3)
    }
    assert told == {phase.value: {*PHASE_TRANSITIONS[phase]} for phase in Phase}


def test_phases_lead_onwards_only_and_all_of_them_to_the_end() -> None:
    order = list(Phase)
    assert all(order.index(after) > order.index(before) for before in Phase for after in PHASE_TRANSITIONS[before])
    assert [phase for phase in Phase if Phase.ENDED not in PHASE_TRANSITIONS[phase]] == [Phase.ENDED]
    reached = {after for before in Phase for after in PHASE_TRANSITIONS[before]}
    assert reached == {*Phase} - {Phase.CLAIMING}


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.CLAIMING, Phase.ENDED)])
def test_an_error_in_a_phase_releases_the_slots(phase: Phase) -> None:
    assert phase is Phase.RELEASING or Phase.RELEASING in PHASE_TRANSITIONS[phase]


@pytest.mark.parametrize("phase", Phase)
def test_a_request_to_stop_moves_running_ranks_only(phase: Phase) -> None:
    """Before the ranks run, the request is kept; the phases before their start check it."""
    course = ask_to_stop(Course(phase), CANCEL, NOW)
    assert course.phase is (Phase.STOPPING if phase in RUNS else phase)
    assert course.stop == (None if phase is Phase.ENDED else CANCEL)


@pytest.mark.parametrize("phase", Phase)
def test_stacks_are_written_once_and_by_running_ranks_only(phase: Phase) -> None:
    course = write_stacks(Course(phase), NOW)
    assert course.phase is (Phase.WRITING_STACKS if phase is Phase.RUNNING else phase)
    assert write_stacks(course, NOW) is course


def test_ranks_that_have_to_stop_before_they_run_are_told_at_once() -> None:
    assert launch(Course(Phase.LAUNCHING), NOW).phase is Phase.RUNNING
    asked = ask_to_stop(Course(Phase.LAUNCHING), CANCEL, NOW)
    assert launch(asked, NOW).phase is Phase.STOPPING


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (CANCEL, CANCEL, CANCEL),
        (CANCEL, KILL, KILL),
        (KILL, CANCEL, KILL),
        (CANCEL, SHUT_DOWN, StopRequest(5.0, store_seconds=20.0, worker_stops=True)),
        (SHUT_DOWN, KILL, StopRequest(0.0, store_seconds=0.0, worker_stops=True)),
    ],
)
def test_two_requests_are_the_stricter_of_both(first: StopRequest, second: StopRequest, both: StopRequest) -> None:
    course = ask_to_stop(ask_to_stop(Course(Phase.RUNNING), first, NOW), second, NOW)
    assert course.stop == both


@pytest.mark.parametrize(
    ("request_", "store_until"), [(None, inf), (CANCEL, inf), (SHUT_DOWN, NOW + 20.0), (KILL, NOW)]
)
def test_outputs_are_sent_within_the_time_of_the_request(request_: StopRequest | None, store_until: float) -> None:
    """The time counts from the end of the ranks, or from the request if that comes later."""
    before = Course(Phase.RUNNING) if request_ is None else ask_to_stop(Course(Phase.RUNNING), request_, NOW - 50.0)
    assert enter(before, Phase.STORING, NOW).store_until == store_until
    storing = enter(Course(Phase.RUNNING), Phase.STORING, NOW - 50.0)
    later = storing if request_ is None else ask_to_stop(storing, request_, NOW)
    assert later.store_until == store_until
    assert later.abandoned is (request_ in (KILL, SHUT_DOWN))


def test_a_repeated_request_does_not_prolong_the_time() -> None:
    storing = enter(Course(Phase.RUNNING), Phase.STORING, NOW)
    for later in range(5):
        storing = ask_to_stop(storing, SHUT_DOWN, NOW + later)
    assert storing.store_until == NOW + 20.0


Move = Phase | StopRequest | None


@given(st.lists(st.one_of(st.sampled_from(Phase), st.sampled_from([CANCEL, KILL, SHUT_DOWN]), st.none())))
def test_no_order_of_requests_is_an_error_or_leads_back(moves: list[Move]) -> None:
    """Given allowed transitions, and requests at any time (None: for stacks), every sequence is valid."""
    order = list(Phase)
    course = Course()
    for now, move in enumerate(moves):
        before = course
        if move is None:
            course = write_stacks(course, now)
        elif isinstance(move, StopRequest):
            course = ask_to_stop(course, move, now)
        elif course.phase is Phase.LAUNCHING and move is Phase.RUNNING:
            course = launch(course, now)
        elif move in PHASE_TRANSITIONS[course.phase]:
            course = enter(course, move, now)
        assert order.index(course.phase) >= order.index(before.phase)
        assert course.store_until <= before.store_until
        assert before.stop is None or course.stop is not None
        assert course.phase is not Phase.RUNNING or course.stop is None
