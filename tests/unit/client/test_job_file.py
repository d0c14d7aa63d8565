"""Job files: values of YAML, and features that JSON lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway.client.job_file import read_job_file
from headway.errors import InvalidInput

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
    'notes: "\\uD800"': "notes is '\\ud800', which is not valid Unicode",
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


def test_aliases_of_a_job_file_are_bounded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 10)}]" for one in range(1, 8)]
    (tmp_path / "job.yaml").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match="more than 1,000,000 values"):
        read_job_file(tmp_path / "job.yaml")


def test_yaml_values_keep_their_meaning(tmp_path: Path) -> None:
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


def test_a_text_field_is_taken_as_written(tmp_path: Path) -> None:
    lines = "arguments: [--lr, 0.10, 7, yes, true, 2026-11-29, .inf]\nvariables: {A: 1, B: 2.10, C: true}\nname: 12"
    content = read_line(tmp_path, f"{lines}\nlabels: {{seed: 1}}\nworld_size: 2")
    assert content["arguments"] == ["--lr", "0.10", "7", "yes", "true", "2026-11-29", ".inf"]
    assert content["variables"] == {"A": "1", "B": "2.10", "C": "true"}
    assert (content["name"], content["labels"], content["world_size"]) == ("12", {"seed": "1"}, 2)
