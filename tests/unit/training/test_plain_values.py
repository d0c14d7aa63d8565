"""Values that scripts pass to `run`: numbers of NumPy, torch and others are accepted; errors name everything else."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headway.training.run import Run
from headway.worker.rank_files import RankFiles

NUMBERS = [
    2, 2.0, True + 1, np.int64(2), np.uint8(2), np.float32(2), np.float64(2), np.float16(2), np.array(2),
    np.array([2.0]), torch.tensor(2), torch.tensor(2.0), torch.tensor([[2.0]]), torch.tensor(2.0, dtype=torch.bfloat16),
    torch.tensor(2.0, requires_grad=True), Decimal(2), Fraction(4, 2),
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    variables = {"HEADWAY_RUN_FILE": str(tmp_path / "rank-0.run"), "HEADWAY_OUTPUT_DIRECTORY": str(tmp_path / "out")}
    return Run(variables)


def records(run: Run) -> list[dict[str, Any]]:
    assert run.record_file is not None
    return [json.loads(line) for line in Path(run.record_file).read_text().splitlines()]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda one: f"{type(one).__name__}-{one!r}"[:40])
def test_a_number_of_any_kind_is_a_step_and_a_value(run: Run, tmp_path: Path, number: Any) -> None:
    run.log(number, loss=number, right=np.bool_(True))
    run.reached("data_ready", total_steps=number)
    harvest = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20).harvest({})
    assert (list(harvest.series["loss", 0].steps), list(harvest.series["loss", 0].values)) == ([2], [2.0])
    assert list(harvest.series["right", 0].values) == [1.0]
    assert harvest.lines == []
    assert records(run)[-1]["total_steps"] == 2


@pytest.mark.parametrize("number", NUMBERS[:-2], ids=lambda one: f"{type(one).__name__}-{one!r}"[:40])
def test_a_checkpoint_is_saved_at_a_step_of_any_kind(run: Run, number: Any) -> None:
    run.save({"step": 1}, number)
    run._saver.wait()
    assert records(run)[-1]["step"] == 2
    assert not run.should_save(number)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("high", r"metric loss is 'high' \(str\): give one number"),
        (None, r"metric loss is None \(NoneType\): give one number"),
        ([1.0, 2.0], r"metric loss is \[1.0, 2.0\] \(list\): give one number"),
        (np.zeros((2, 3)), r"metric loss is of shape \(2, 3\) \(ndarray\): give one number"),
        (torch.zeros(4), r"metric loss is of shape \(4,\) \(Tensor\): give one number"),
        (2j, r"metric loss is 2j \(complex\): give one number"),
    ],
)
def test_a_value_that_is_not_a_number_is_named(run: Run, value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        run.log(1, accuracy=0.5, loss=value)


@pytest.mark.parametrize("step", [2.5, float("nan"), np.float32(0.5), "early", None, np.arange(3)])
def test_a_step_that_is_not_a_whole_number_is_named(run: Run, step: Any) -> None:
    for use in (lambda: run.log(step, loss=1.0), lambda: run.save({}, step), lambda: run.should_save(step)):
        with pytest.raises(TypeError, match=r"^step is "):
            use()


def test_a_result_may_have_arrays_and_numbers_of_any_kind(run: Run) -> None:
    run.finish(
        accuracy=np.float32(0.5),
        matrix=np.array([[1, 2], [3, 4]]),
        test={"loss": torch.tensor(0.25), "right": np.bool_(True), "price": Decimal("1.5")},
        by_class={np.int64(7): [np.int32(1), torch.tensor([1.0, 2.0])]},
    )
    assert records(run) == [
        {
            "type": "result_stored",
            "result": {
                "accuracy": 0.5,
                "matrix": [[1, 2], [3, 4]],
                "test": {"loss": 0.25, "right": True, "price": 1.5},
                "by_class": {"7": [1, [1.0, 2.0]]},
            },
        }
    ]


def test_a_result_that_has_no_form_in_json_is_named(run: Run) -> None:
    with pytest.raises(TypeError, match=r"object at .* \(object\) has no form in JSON"):
        run.finish(model=object())


def test_a_result_without_a_form_is_named_by_its_key_alone(run: Run) -> None:
    """Given a value deep in a result that JSON cannot represent, then the error has its path, without inner errors."""
    for result, place in (({"c": object()}, "c"), ({"a": 1, "b": {"x": [1, object()]}}, "b.x.1")):
        with pytest.raises(TypeError, match=rf"^{place}: <object object .* has no form in JSON") as raised:
            run.finish(**result)
        assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)


def test_a_masked_number_is_not_a_number(run: Run) -> None:
    run.log(1, loss=np.ma.masked, one=np.ma.array([1.0], mask=[True]), two=np.ma.array([2.0], mask=[False]))
    values = next(record for record in records(run) if "values" in record)["values"]
    assert [np.isnan(float(values[name])) for name in ("loss", "one", "two")] == [True, True, False]
    assert values["two"] == 2.0
    with pytest.raises(TypeError, match=r"^step is "):
        run.log(np.ma.masked, loss=1.0)
