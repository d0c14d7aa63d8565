"""The SDK: errors, functions as jobs, metrics and representations."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pandas
import pytest

from headway.client import Client
from headway.client.connection import Connection
from headway.client.functions import check_call
from headway.client.job_handle import JobHandle
from headway.client.jobs import Jobs
from headway.client.logins import TokenAuth
from headway.client.metrics import Metrics
from headway.errors import HeadwayError, InvalidInput

SERIES = [
    {"name": "loss", "rank": 0, "steps": [1, 2], "values": [0.5, "NaN"], "count": 2},
    {"name": "rate", "rank": 0, "steps": [2], "values": [3.0], "count": 1},
    {"name": "rate", "rank": 1, "steps": [2], "values": [4.0], "count": 1},
]


def a_job(**data: Any) -> JobHandle:
    fields = {"id": "j-1", "name": "mine", "status": "running", "hold": False, "sentence": "Training <fast>."}
    row = {**fields, "world_size": 2, "created_at": 0.0, **data}
    return JobHandle(Connection("http://127.0.0.1:9", TokenAuth("")), row=row)


def test_pandas_takes_metrics_in_one_call() -> None:
    frame = pandas.DataFrame(Metrics(SERIES))
    assert list(frame.columns) == ["loss", "rate[0]", "rate[1]"]
    assert frame.loc[1, "loss"] == 0.5
    assert frame.loc[2, ["rate[0]", "rate[1]"]].tolist() == [3.0, 4.0]
    assert "loss: 2 points, last nan at step 2" in repr(Metrics(SERIES))
    assert repr(Metrics([])) == Metrics([])._repr_html_() == "No metrics."


def test_jobs_say_what_they_are() -> None:
    assert repr(a_job()) == "Job mine (j-1): running. Training <fast>."
    assert repr(a_job(status="queued", hold=True)).startswith("Job mine (j-1): paused.")
    assert "Training &lt;fast&gt;." in a_job()._repr_html_()
    assert repr(Jobs([a_job()])) == repr(a_job())
    assert "<td>mine</td><td>running</td><td>2</td>" in Jobs([a_job()])._repr_html_()
    assert repr(Jobs()) == "No jobs."


def test_an_error_has_three_frames_at_most_and_ends_in_ours(tmp_path: Path) -> None:
    """Given no server, when a client asks, then the trace has no frame of another library."""
    (tmp_path / "user.token").write_text("hw_x")
    with Client("http://127.0.0.1:9", home=tmp_path) as client:
        for ask in (lambda: client.plan({"trainer": "cnn"}), lambda: client.train("cnn", dataset="mnist")):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("headway.client.connection.RETRIES_SECONDS", ())
                with pytest.raises(HeadwayError, match="No server answers") as raised:
                    ask()
            frames = traceback.extract_tb(raised.value.__traceback__)
            assert len([frame for frame in frames if frame.filename != __file__]) <= 2
            assert "headway" in frames[-1].filename
            assert raised.value.__cause__ is None


def train(steps: int, rate: float = 0.1, name: str = "") -> None:
    """Something to call."""


@pytest.mark.parametrize(("arguments", "keywords"), [((1,), {}), ((1, 0.2), {}), ((), {"steps": 1, "name": "x"})])
def test_a_function_takes_its_own_arguments(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    check_call(train, arguments, keywords)


@pytest.mark.parametrize(
    ("arguments", "keywords", "said"),
    [
        ((), {}, "missing a required argument: 'steps'"),
        ((1,), {"world_size": 2}, 'Options of the job are separate: options={"world_size": ...}.'),
        ((1, 2, 3, 4), {}, "too many positional arguments"),
    ],
)
def test_a_call_that_cannot_work_is_refused_before_it_is_sent(
    arguments: tuple[Any, ...], keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match="train cannot be called like this") as raised:
        check_call(train, arguments, keywords)
    assert said in str(raised.value)
