"""Metric points are selected by name and step before they are decoded."""

from __future__ import annotations

from array import array

import msgpack
import pytest
import zstandard

from headway.formats import metrics
from headway.formats.metrics import Selection, Series, encode_metrics, logged_steps, select_metrics


def a_series(name: str, *steps: int, rank: int = 0) -> Series:
    values = array("d", [float(step) for step in steps])
    return Series(name, rank, array("q", steps), array("d", [1.0] * len(steps)), values)


SECTIONS = [
    encode_metrics(1, [a_series("loss", 1, 2, 3), a_series("accuracy", 3), a_series("system/cpu", 100)]),
    encode_metrics(2, [a_series("loss", 4, 5), a_series("loss", 4, rank=1)]),
]


def found(selection: Selection) -> list[tuple[str, int, list[int], list[float]]]:
    series = select_metrics(SECTIONS, selection)
    return [(one.name, one.rank, list(one.steps), list(one.values)) for one in series]


def test_all_but_samples_are_read_where_nothing_is_named() -> None:
    assert [one[:3] for one in found(Selection())] == [
        ("loss", 0, [1, 2, 3, 4, 5]), ("accuracy", 0, [3]), ("loss", 1, [4]),
    ]  # fmt: skip


def test_series_are_read_by_name_and_points_by_step() -> None:
    assert found(Selection(["system/cpu"])) == [("system/cpu", 0, [100], [100.0])]
    assert found(Selection(["loss"], 2, 4)) == [("loss", 0, [2, 3, 4], [2.0, 3.0, 4.0]), ("loss", 1, [4], [4.0])]
    assert found(Selection(["accuracy"], 4)) == [("accuracy", 0, [], [])]
    assert found(Selection(["none"])) == []


def test_series_that_are_not_named_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = metrics._series

    def counting(name: str, *columns: object) -> Series:
        decoded.append(name)
        return decode(name, *columns)

    monkeypatch.setattr(metrics, "_series", counting)
    select_metrics(SECTIONS, Selection(["accuracy"]))
    assert decoded == ["accuracy"]


def test_the_steps_of_an_attempt_are_those_of_all_series_but_samples() -> None:
    assert logged_steps(SECTIONS) == (1, 5)
    assert logged_steps([*SECTIONS, b"damaged"]) == (1, 5)
    assert logged_steps([encode_metrics(1, [a_series("system/cpu", 1)])]) is None


@pytest.mark.parametrize(
    "columns", [("text", b"", b""), (b"1234567", b"1234567", b"1234567"), (bytes(8), bytes(8), b"")]
)
def test_a_section_with_columns_of_other_forms_is_left_out_whole(columns: tuple[object, ...]) -> None:
    entries = [(1, [("loss", 0, bytes(8), bytes(8), bytes(8)), ("other", 0, *columns)])]
    section = zstandard.compress(msgpack.packb(entries))
    assert select_metrics([section], Selection(["loss"])) == []
    assert logged_steps([section]) is None
