"""What following a job shows, on a fake clock."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from headway.client.message import Message
from headway.client.progress import JobProgress, Line, rate_text, remaining_text
from headway.client.terminal_progress import _Display, show_in_terminal
from tests.fake_clock import FakeClock


class Followed:
    """A job that tells what it is given."""

    def __init__(self, *messages: Message, total_steps: int | None = None) -> None:
        self.data: dict[str, Any] = {
            "hold": False,
            "status": "queued",
            "spec": {"world_size": 2},
            "attempt": {"total_steps": total_steps},
        }
        self._messages = messages

    def refresh(self) -> None:
        pass

    def follow(self) -> Iterator[Message]:
        return iter(self._messages)


def event(kind: str, **data: Any) -> Message:
    return Message("event", {"type": kind, "data": data}, "")


def steps(last: int, attempt: int = 1, **values: float) -> Message:
    series = [{"name": f"train/{name}", "steps": [last], "values": [value]} for name, value in values.items()]
    return Message("report", {"attempt": attempt, "lines": [], "series": series}, "")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def heard(clock: FakeClock, job: Followed, *messages: Message, seconds: float = 2.0) -> JobProgress:
    progress = JobProgress(job, clock.monotonic)
    for message in messages:
        list(progress.hear(message))
        clock.seconds += seconds
    return progress


def test_rate_and_time_left_follow_the_last_steps(clock: FakeClock) -> None:
    """Given steps each fifth of a second, when half of a hundred are done, then ten seconds are left."""
    reports = [steps(step, loss=1.0) for step in range(10, 60, 10)]
    progress = heard(clock, Followed(total_steps=100), event("attempt.started"), *reports)
    assert progress.steps_per_second == pytest.approx(5.0)
    assert progress.remaining_seconds == pytest.approx(10.0)


def test_a_paused_job_says_paused_and_has_no_rate(clock: FakeClock) -> None:
    messages = (event("attempt.started"), steps(10, loss=1.0), steps(20, loss=1.0), event("job.paused"))
    progress = heard(clock, Followed(total_steps=100), *messages)
    assert (progress.stage, progress.steps_per_second, progress.remaining_seconds) == ("paused", None, None)


def test_a_new_attempt_begins_its_rate_again(clock: FakeClock) -> None:
    messages = (event("attempt.started"), steps(10, loss=1.0), steps(20, loss=1.0), event("attempt.placed", attempt=2))
    progress = heard(clock, Followed(), *messages)
    assert (progress.stage, progress.step, progress.steps_per_second) == ("starting", 0, None)


def test_a_late_report_of_the_attempt_before_does_not_move_the_step(clock: FakeClock) -> None:
    """Given a second attempt that starts from the beginning, when the first one's last report arrives late."""
    placed = event("attempt.placed", attempt=2)
    progress = heard(clock, Followed(), steps(50, loss=1.0), placed, steps(60, loss=1.0), steps(3, 2, loss=1.0))
    assert progress.step == 3


def test_a_job_that_is_queued_again_while_it_is_paused_still_says_paused(clock: FakeClock) -> None:
    ended = event("attempt.ended", reason="paused", attempt=1, sentence="Paused on request.")
    messages = (event("attempt.started"), event("job.paused"), ended, event("job.requeued"))
    assert heard(clock, Followed(), *messages).stage == "paused"
    assert heard(clock, Followed(), *messages, event("job.resumed")).stage == "queued again"


def test_the_past_that_arrives_at_once_makes_no_rate(clock: FakeClock) -> None:
    """Given 900 steps of the past within a moment, then a step each second, then the rate is one step a second."""
    past = [steps(step, loss=1.0) for step in range(100, 1000, 100)]
    job = Followed(total_steps=1000)
    progress = heard(clock, job, event("attempt.started"), *past, seconds=0.01)
    for step in range(901, 911):
        clock.seconds += 1.0
        list(progress.hear(steps(step, loss=1.0)))
    assert progress.steps_per_second == pytest.approx(1.0, rel=0.1)


def output(*lines: tuple[int, str]) -> Message:
    return Message("report", {"lines": [{"rank": rank, "text": text} for rank, text in lines], "series": []}, "")


def shown(*messages: Message) -> list[str]:
    progress = JobProgress(Followed())
    return [line.prefix + line.text for message in messages for line in progress.hear(message)]


def test_a_traceback_that_all_ranks_print_is_shown_once() -> None:
    """Given two ranks whose lines are mixed, then the second traceback is one line that names the first."""
    lines = ["Traceback (most recent call last):", '  File "train.py", line 2, in <module>', "    1 / 0"]
    mixed = [(rank, line) for line in (*lines, "ZeroDivisionError: division by zero") for rank in (0, 1)]
    assert shown(output(*mixed[:3]), output(*mixed[3:])) == [
        *(f"[0] {line}" for line in lines),
        "[0] ZeroDivisionError: division by zero",
        "[1] ZeroDivisionError: division by zero (the same traceback as rank 0)",
    ]


def test_tracebacks_that_differ_or_never_end_are_shown_whole() -> None:
    first = output((0, "Traceback (most recent call last):"), (0, "ValueError: a"))
    second = output((1, "Traceback (most recent call last):"), (1, "ValueError: b"))
    third = output((1, "Traceback (most recent call last):"), (1, "  File"))
    end = Message("end", {"status": "failed"}, "")
    assert shown(first, second, third, end)[-4:] == [
        "[1] Traceback (most recent call last):",
        "[1] ValueError: b",
        "[1] Traceback (most recent call last):",
        "[1]   File",
    ]


def test_a_rank_that_lost_another_one_has_one_line() -> None:
    """Given a rank that was killed, then the error of the rank that lost it does not hide the cause."""
    lines = ("Traceback (most recent call last):", "    work()", "RuntimeError: [pair.cc:545] Connection reset by peer")
    assert shown(output(*((1, line) for line in lines))) == [
        "[1] RuntimeError: it lost the connection to another rank, which has ended"
    ]


def test_the_end_of_the_last_attempt_is_not_told_twice() -> None:
    """Given an attempt that is followed by another one and one that ends the job, then only the first is a line."""
    ended = event("attempt.ended", reason="rank_killed", attempt=1, sentence="Rank 0 was killed.")
    again, failed = event("job.requeued"), event("job.failed")
    assert shown(ended, again) == ["Attempt 1: Rank 0 was killed."]
    assert shown(ended, failed) == []


def test_the_server_that_is_away_is_told_and_that_it_is_back() -> None:
    away = Message("away", {"sentence": "No server answers."}, "")
    back = Message("back", {"sentence": "The server is back."}, "")
    assert shown(away, back) == ["No server answers.", "The server is back."]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.4, "0 s left"), (59, "59 s left"), (90, "2 min left"), (3600 * 2.5, "2 h 30 min left")],
)
def test_times_left_are_rough(seconds: float | None, text: str) -> None:
    assert remaining_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(None, ""), (1234.5, "1,234 steps/s"), (2.5, "2.5 steps/s"), (0.1, "10.0 s/step")]
)
def test_rates_are_readable(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text


def test_the_line_fits_into_eighty_columns() -> None:
    """Given a long training with several figures, when it is drawn on 80 columns, then no line wraps."""
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True, color_system=None)
    report = steps(123_456, loss=0.1234, accuracy=0.98)
    show_in_terminal(Followed(event("attempt.started"), report, total_steps=1_000_000), console)
    drawn = [line for line in written.getvalue().replace("\r", "\n").splitlines() if "123,456/1,000,000" in line]
    assert drawn
    assert "loss 0.1234" in drawn[-1]
    assert "running" in drawn[-1]


def test_nothing_but_the_lines_is_written_to_a_pipe() -> None:
    written = io.StringIO()
    lines = [{"rank": 1, "text": "hello [bold]"}]
    report = Message("report", {"lines": lines, "series": []}, "")
    show_in_terminal(Followed(event("attempt.started"), report, steps(3, loss=1.0)), Console(file=written))
    assert written.getvalue() == "[1] hello [bold]\n"


def test_a_terminal_draws_bars_over_each_other_and_keeps_whole_lines() -> None:
    written = io.StringIO()
    display = _Display(Followed(), Console(file=written, force_terminal=True, width=60))
    for text, partial in (("10%", True), ("20%", True), ("100%", False), ("5%", True)):
        display.print(Line(text, prefix="[1] ", rank=1, partial=partial))
    assert [bar.plain for bar in display.bar.bars.values()] == ["[1] 5%"]
    assert "100%" in written.getvalue()
    assert "10%" not in written.getvalue().replace("100%", "")


def test_where_nothing_can_be_drawn_over_a_bar_is_a_line_now_and_then() -> None:
    written = io.StringIO()
    lines = [{"rank": 0, "text": f"{number}%", "partial": True} for number in range(50)]
    report = Message("report", {"lines": lines, "series": []}, "")
    show_in_terminal(Followed(event("attempt.started"), report), Console(file=written, width=60))
    assert written.getvalue() == "[0] 0%\n"
