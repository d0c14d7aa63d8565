"""Values of specs and records. The error for a value that a store or protocol cannot hold names its field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from headway.core.checkpoint import Checkpoint, CheckpointPolicy
from headway.core.checkpoint_retention import retained
from headway.core.dataset import Dataset
from headway.core.environment import variables_of_parameters
from headway.core.facts import FACTS, ResultStored
from headway.core.frozen import Frozen
from headway.core.job import JobSpec
from headway.core.json_value import MAXIMUM_DEPTH
from headway.core.name import check_labels, proposed_name
from headway.core.parameters import parse_parameters
from headway.core.worker import WorkerDescription, WorkerLoad
from headway.errors import InvalidInput, SettingInvalid
from headway.formats.reports import decode_facts, encode_facts
from headway.rank_protocol.record_bounds import storable
from headway.settings import load_settings

SCRIPT = {"script": "t.py", "source": "1"}


INFINITE = (math.inf, -math.inf, math.nan, "inf", "nan", "1e999")


def all_records(parent: type[Frozen] = Frozen) -> Iterator[type[Frozen]]:
    for child in parent.__subclasses__():
        yield child
        yield from all_records(child)


def test_no_record_takes_a_number_that_is_not_finite_where_it_does_not_say_so() -> None:
    assert {one.__name__ for one in all_records() if one.model_config.get("allow_inf_nan") is not False} == set()


@pytest.mark.parametrize("value", INFINITE)
@pytest.mark.parametrize(
    ("model", "given", "field"),
    [
        (JobSpec, SCRIPT, "retry_window_seconds"),
        (JobSpec, SCRIPT, "timeout_seconds"),
        (JobSpec, SCRIPT, "stall_seconds"),
        (CheckpointPolicy, {}, "every_seconds"),
        (WorkerLoad, {"memory_used_bytes": 1, "memory_bytes": 1}, "cpu_fraction"),
        (Dataset, {"name": "d", "classes": 1, "splits": {}, "deviation": 1.0, "full_scale": 1.0}, "mean"),
        (Dataset, {"name": "d", "classes": 1, "splits": {}, "mean": 1.0, "full_scale": 1.0}, "deviation"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_name(
    model: type[Frozen], given: dict[str, Any], field: str, value: object
) -> None:
    with pytest.raises(ValidationError) as raised:
        model.model_validate({**given, field: value})
    assert raised.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_parameter_must_be_finite(value: float) -> None:
    with pytest.raises(ValidationError, match="a parameter must be finite") as raised:
        JobSpec.model_validate({**SCRIPT, "parameters": {"lr": value}})
    assert raised.value.errors()[0]["loc"] == ("parameters", "lr")
    with pytest.raises(SettingInvalid, match="HEADWAY_LEASE_SECONDS"):
        load_settings({"HEADWAY_LEASE_SECONDS": str(value)})


@pytest.mark.parametrize("field", ["command", "arguments", "variables", "parameters", "script", "outputs", "metrics"])
def test_text_for_a_process_has_no_nul(field: str) -> None:
    value: Any = {"variables": {"A": "\0"}, "parameters": {"a": "\0"}, "metrics": {"a": "\0"}, "script": "\0"}.get(
        field, ["\0"]
    )
    with pytest.raises(ValidationError, match="NUL"):
        JobSpec.model_validate({"script": "t.py", "source": "1", field: value})


def test_metrics_and_results_that_are_not_finite_survive_the_database() -> None:
    checkpoint = Checkpoint(attempt=1, step=1, world_size=1, at=1.0, metrics={"loss": math.nan, "best": -math.inf})
    again = Checkpoint.model_validate_json(checkpoint.model_dump_json())
    assert math.isnan(again.metrics["loss"])
    assert again.metrics["best"] == -math.inf
    facts = (ResultStored(result={"test": {"loss": math.nan, "points": [math.inf, 1.0]}}),)
    (stored,) = decode_facts(encode_facts(facts))
    assert isinstance(stored, ResultStored)
    assert stored.result == {"test": {"loss": "NaN", "points": ["Infinity", 1.0]}}


def test_the_best_checkpoint_is_never_one_whose_metric_is_no_number() -> None:
    policy = CheckpointPolicy(keep_newest=1, keep_best=1, metric="loss")
    losses = (math.nan, 2.0, math.nan, 3.0)
    saved = [
        Checkpoint(attempt=1, step=step, world_size=1, at=1.0, metrics={"loss": loss})
        for step, loss in enumerate(losses)
    ]
    assert [one.step for one in retained(saved, policy)] == [1, 3]


def test_a_result_that_json_does_not_have_is_refused() -> None:
    for result in ({"a": b"\xff"}, {1: 2}, {"a": {2, 3}}):
        with pytest.raises(ValidationError):
            FACTS.validate_python([{"type": "result_stored", "result": result}])


TEXTS = ["9e999", "2.10", "007", "1_000", "nan", "inf", "true", "1e-3", "", " 7", "٣"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_looks_like_a_number_reaches_a_script_as_it_was_written(text: str) -> None:
    spec = JobSpec.model_validate({**SCRIPT, "parameters": {"it": text}})
    assert spec.parameters == {"it": text}
    assert variables_of_parameters(spec.parameters) == {"IT": text}
    assert JobSpec.model_validate_json(spec.model_dump_json()).parameters == {"it": text}


def test_a_trainer_takes_text_as_its_schema_says() -> None:
    parameters = parse_parameters("cnn", {"epochs": "3", "learning_rate": "1e-3", "precision": "fp32"})
    assert (parameters.epochs, parameters.learning_rate, parameters.precision) == (3, 0.001, "fp32")
    for name, text in (("learning_rate", "9e999"), ("learning_rate", "nan"), ("epochs", "x"), ("epochs", "true")):
        with pytest.raises(InvalidInput, match=f"Parameter {name} of trainer cnn: '{text}'"):
            parse_parameters("cnn", {name: text})


def test_two_parameters_cannot_become_one_variable() -> None:
    with pytest.raises(ValidationError, match="two parameters become the variable LR"):
        JobSpec.model_validate({**SCRIPT, "parameters": {"lr": 1, "LR": 2}})


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("My Run 2", "my-run-2"), ("a\n", "a"), ("__x", "x"), ("ALL/CAPS", "all-caps"), ("Café", "cafe"),
        ("a" * 99, "a" * 63), ("日本", "my-name"), ("", "my-name"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_allowed_gets_one_that_is(text: str, proposal: str) -> None:
    assert proposed_name(text) == proposal
    worker = {"slots": 1, "threads_per_slot": 1, "host": "h", "port": 1}
    for model, given in ((JobSpec, SCRIPT), (WorkerDescription, worker)):
        with pytest.raises(ValidationError, match=f"for example {proposal}"):
            model.model_validate({**given, "name": text})
        assert json.loads(model.model_validate({**given, "name": proposal}).model_dump_json())["name"] == proposal


@pytest.mark.parametrize(
    ("label", "proposal"),
    [(("a b", "c"), "a-b=c"), (("team", "My Team"), "team=My-Team"), (("a", "b\n"), "a=b"), (("ü", "é"), "u=e")],
)
def test_a_label_that_is_not_allowed_gets_one_that_is(label: tuple[str, str], proposal: str) -> None:
    with pytest.raises(ValueError, match=f"for example {proposal}$") as raised:
        check_labels(dict([label]))
    assert "\n" not in str(raised.value)
    check_labels(dict([proposal.split("=")]))


def test_a_result_is_as_deep_as_ranks_may_give_it_and_no_deeper() -> None:
    value: Any = 1
    for _ in range(MAXIMUM_DEPTH):
        value = {"a": value}
    assert storable(value, "result") == value
    assert ResultStored(result=value).result == value
    with pytest.raises(ValidationError, match="nested more than 32 deep"):
        ResultStored(result={"a": value})
    with pytest.raises(ValidationError, match="more than 200,000 values"):
        ResultStored(result={"a": [0] * 200_000})
