"""A rank's records are limited. A value beyond a limit is refused in the rank with its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from headway.core.facts import AsksToSave, LinksLeftOut, ResultStored
from headway.rank_protocol.paths import run_file
from headway.training.run import Run
from tests.unit.worker.rank_reading import files_of, read_all, said

NESTED: Any = []
for _ in range(100):
    NESTED = [NESTED]
ENDLESS: Any = []
for _ in range(100_000):
    ENDLESS = [ENDLESS]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run({"HEADWAY_RUN_FILE": str(run_file(tmp_path, 0)), "HEADWAY_OUTPUT_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            {"accuracy": 1, "predictions": [0.123456789] * 100_000},
            r"1,300,000 of them in predictions; 262,144 are allowed",
        ),
        ({"tree": NESTED}, r"result.tree\[0\].* has more than 32 levels of dicts and lists"),
        ({"tree": ENDLESS}, "the result has more than 32 levels of dicts and lists"),
        ({"count": {"all": 2**70}}, "result.count.all is 1180591620717411303424: whole numbers have at most 64 bits"),
        ({"text": "x" * 300_000}, "of them in text"),
    ],
)
def test_a_result_that_cannot_be_stored_is_refused_by_name(run: Run, result: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run.finish(**result)
    assert run.record_file is not None
    assert not Path(run.record_file).exists()


def test_metrics_that_cannot_be_stored_are_refused_by_name(run: Run) -> None:
    with pytest.raises(ValueError, match=r"step is 1180591620717411303424: steps go up to 9,007,199,254,740,991"):
        run.log(2**70, loss=1.0)
    with pytest.raises(ValueError, match=r"step is a number of 40,001 bits"):
        run.log(2**40_000, loss=1.0)
    with pytest.raises(ValueError, match=r"step is -1: a checkpoint's step is 0 or more"):
        run.save({}, -1)
    with pytest.raises(ValueError, match="a metric's name has 300 characters"):
        run.log(1, **{"x" * 300: 1.0})
    with pytest.raises(ValueError, match=r"The record has .* bytes as JSON.*: log less at once"):
        run.log(1, **{f"{number:0200}": 1.0 for number in range(2_000)})
    run.log(-1, loss=float("nan"))


def test_a_result_with_names_that_are_not_utf8_is_readable(run: Run, tmp_path: Path) -> None:
    run.finish(files=[os.fsdecode(b"r\xe9sum\xe9.txt")], text="nul \0", odd={"\ud800": 1})
    (harvest,) = read_all(files_of(tmp_path))
    result = {"files": ["r\\xe9sum\\xe9.txt"], "text": "nul \\x00", "odd": {"\\ud800": 1}}
    assert harvest.facts == [ResultStored(result=result)]


def test_a_run_says_that_it_asks_to_save_and_which_links_its_checkpoint_lacks(run: Run, tmp_path: Path) -> None:
    """Given a script that calls `should_save`, and saves a folder with a link that leads outside, both are reported."""
    import signal

    before = signal.getsignal(signal.SIGTERM)
    try:
        run.should_save(1)
    finally:
        signal.signal(signal.SIGTERM, before)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "outside").symlink_to("/etc/hostname")
    run.save(tmp_path / "mine", 1)
    harvests = list(read_all(files_of(tmp_path)))
    facts = [fact for harvest in harvests for fact in harvest.facts]
    assert facts == [AsksToSave(), LinksLeftOut(step=1, names=("outside",), count=1)]
    assert said(harvests) == []
