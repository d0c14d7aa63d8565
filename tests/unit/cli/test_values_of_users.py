"""Values from job files, command lines and programs: what not all can carry is refused by its field's name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import ValidationError

from headway.cli.common import figure
from headway.cli.values import BYTES, DURATION, MOMENT, WORLD_SIZE, typed_as
from headway.client.connection import Connection
from headway.client.job_file import read_job_file
from headway.client.job_handle import JobHandle
from headway.core.checkpoint import Checkpoint, CheckpointPolicy, retained
from headway.core.dataset import Dataset
from headway.core.environment import variables_of_parameters
from headway.core.facts import FACTS, ResultStored
from headway.core.frozen import Frozen
from headway.core.job import JobSpec
from headway.core.json_value import MAXIMUM_DEPTH, check_json
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


FILES = {
    "parameters: {day: 2026-11-29}": "parameters.day is 2026-11-29 of type date",
    "parameters: {at: 2026-11-29T10:00:00Z}": "parameters.at is 2026-11-29 10:00:00+00:00 of type datetime",
    "parameters: {day: 2026-13-45}": "month must be in 1..12",
    "parameters: {b: !!binary aGVsbG8=}": "parameters.b is b'hello' of type bytes",
    "labels: !!set {a}": "labels is {'a'} of type set",
    "parameters: {lr: .inf}": "parameters.lr is inf, which is not a finite number",
    "retry_window_seconds: .NaN": "retry_window_seconds is nan, which is not a finite number",
    "parameters: {1: 2}": "parameters: the name 1 is not text",
    "true: 2": "the name True is not text",
    "script: u.py": "script is given twice",
    "? [a, b]\n: 1": "unhashable key",
    "parameters: &p {x: *p}": "nested more than 32 deep",
    "notes: !!python/object:os.system x": "could not determine a constructor",
    'notes: "\\uD800"': "notes is '\\ud800', which is no valid Unicode",
    f"memory_bytes: {'9' * 5000}": "Exceeds the limit",
    f"memory_bytes: {'9' * 50}": "memory_bytes is a number of more than 64 bits",
    "workdir: 5": "workdir is 5; it must be a path",
    f"notes: {'[' * 3000}": "nested too deeply",
}


@pytest.mark.parametrize("line", FILES)
def test_a_job_file_with_what_only_yaml_has_gets_a_sentence(line: str, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"script: t.py\n{line}\n")
    with pytest.raises(InvalidInput) as raised:
        read_job_file(path)
    assert str(raised.value).startswith(f"Job file {path}")
    assert FILES[line] in str(raised.value)


def test_aliases_of_a_job_file_may_stand_for_little_only(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 10)}]" for one in range(1, 8)]
    (tmp_path / "job.yaml").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match="more than 1,000,000 values"):
        read_job_file(tmp_path / "job.yaml")


def test_what_yaml_means_stays_as_it_means_it(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "base: &base {x: 0, y: 1}\nouter: {a: &a {<<: *base, x: 1}}\nb: {<<: *a}\n"
        'script: t.py\nparameters: {version: "2.10", n: 7, lr: 1.0e-3, fast: true, id: "007"}\n'
    )
    content, _ = read_job_file(tmp_path / "job.yaml")
    assert content["parameters"] == {"version": "2.10", "n": 7, "lr": 0.001, "fast": True, "id": "007"}
    assert content["b"] == {"x": 1, "y": 1}


def read_line(folder: Path, line: str) -> dict[str, Any]:
    (folder / "job.yaml").write_text(f"script: t.py\n{line}\n")
    return read_job_file(folder / "job.yaml")[0]


@pytest.mark.parametrize(
    "text",
    [
        "12:30:45",
        "1:30",
        "017",
        "-007",
        "08",
        "1_000",
        "0b11",
        "1_0.5",
        "no",
        "yes",
        "on",
        "off",
        "y",
        "N",
        "=",
        "00.5",
    ],
)
def test_text_of_a_job_file_that_is_a_number_in_old_yaml_only_stays_text(text: str, tmp_path: Path) -> None:
    assert read_line(tmp_path, f"parameters: {{a: {text}}}")["parameters"] == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), ("-2.5e+3", -2500.0), (".5", 0.5), ("1.", 1.0), ("0", 0), ("-0", 0), ("+5", 5),
        ("0x1F", 31), ("0o17", 15), ("TRUE", True), ("False", False), ("2.10", 2.1), ("3", 3),
    ],
)  # fmt: skip
def test_numbers_of_a_job_file_are_those_of_yaml_12(text: str, value: object, tmp_path: Path) -> None:
    found = read_line(tmp_path, f"parameters: {{a: {text}}}")["parameters"]["a"]
    assert (found, type(found)) == (value, type(value))
    assert read_line(tmp_path, "parameters: {a: ~, b: , c: null}")["parameters"] == {"a": None, "b": None, "c": None}


def test_what_a_field_of_text_holds_is_what_is_written(tmp_path: Path) -> None:
    lines = "arguments: [--lr, 0.10, 7, yes, true, 2026-11-29, .inf]\nvariables: {A: 1, B: 2.10, C: true}\nname: 12"
    content = read_line(tmp_path, f"{lines}\nlabels: {{seed: 1}}\nworld_size: 2")
    assert content["arguments"] == ["--lr", "0.10", "7", "yes", "true", "2026-11-29", ".inf"]
    assert content["variables"] == {"A": "1", "B": "2.10", "C": "true"}
    assert (content["name"], content["labels"], content["world_size"]) == ("12", {"seed": "1"}, 2)


@pytest.mark.parametrize("value", [math.inf, 2**70, "\udcff", object(), {1: 2}, b"x", {"a": {"b": [math.nan]}}])
def test_a_program_is_told_which_value_json_does_not_have(value: object) -> None:
    connection = Connection("http://127.0.0.1:1", "token")
    with pytest.raises(InvalidInput, match=r"^parameters(\.|:)"):
        connection.request("POST", "/jobs", json={"parameters": {"x": value} if not isinstance(value, dict) else value})
    with pytest.raises(InvalidInput, match=r"^arguments\.0"):
        JobHandle(connection, {"id": "j-a"}).rerun(arguments=[value])
    check_json({"a": [1, 2.5, None, True, "ü", {"b": ()}]})


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
        with pytest.raises(InvalidInput, match=f"Parameter {name} of trainer cnn is '{text}'"):
            parse_parameters("cnn", {name: text})


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (0.1, "0.01", 0.01), (0.1, "1e-3", 0.001), (3, "4", 4), (3, "0.5", 0.5), (3, "auto", "auto"), (3, "007", "007"),
        (0.1, "9e999", "9e999"), (0.1, "nan", "nan"), (True, "false", False), (True, "no", "no"),
        ("2.9", "2.10", "2.10"), (None, "7", "7"), (3, "1_000", "1_000"),
    ],
)  # fmt: skip
def test_a_changed_parameter_keeps_the_type_that_it_had(before: object, text: str, after: object) -> None:
    changed = typed_as(before, text)
    assert (changed, type(changed)) == (after, type(after))


def test_two_parameters_cannot_become_one_variable() -> None:
    with pytest.raises(ValidationError, match="two parameters become the variable LR"):
        JobSpec.model_validate({**SCRIPT, "parameters": {"lr": 1, "LR": 2}})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DURATION, "9" * 400), (DURATION, "²s"), (DURATION, "inf"), (BYTES, "9" * 400 + "g"), (BYTES, "nan"),
        (MOMENT, "9" * 18 + "d"), (MOMENT, "2026-13-01"), (WORLD_SIZE, "9" * 5000), (WORLD_SIZE, "²"),
    ],
)  # fmt: skip
def test_a_value_of_the_command_line_that_is_none_gets_a_sentence(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter, match="write"):
        kind.convert(text, None, None)


def test_a_figure_of_a_result_may_be_anything() -> None:
    assert [figure(one, ".2%") for one in (0.5, "NaN", None, [1])] == ["50.00%", "NaN", "None", "[1]"]


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
