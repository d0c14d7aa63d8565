"""Small pure rules: retry, data order, parameters, settings, errors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headway
from headway.core.data_order import batch_bounds, gradient_weight, rank_bounds, steps_per_epoch
from headway.core.end_reason import EndReason
from headway.core.failure import Failure, explain_end
from headway.core.parameters import parse_parameters
from headway.core.retry import may_retry, requeue_delay_seconds
from headway.errors import Conflict, InvalidInput, NameTaken, SettingInvalid, Unavailable, error_from_problem
from headway.registry import backend
from headway.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("reason", "used", "again"),
    [
        (EndReason.WORKER_LOST, 0, True),
        (EndReason.WORKER_LOST, 2, True),
        (EndReason.WORKER_LOST, 3, False),
        (EndReason.SCRIPT_RAISED, 0, False),
        (EndReason.ASSIGNMENT_REFUSED, 3, True),
        (EndReason.COMPLETED, 0, False),
    ],
)
def test_retries(reason: EndReason, used: int, again: bool) -> None:
    assert may_retry(reason, used, 3, counted=reason.counted) is again


@pytest.mark.parametrize("reason", EndReason)
@pytest.mark.parametrize("known", ["nothing", "little", "all"])
def test_no_sentence_shows_a_placeholder(reason: EndReason, known: str) -> None:
    """Whatever is known of a failure, the sentence for it is whole."""
    failure = Failure(reason=reason, worker="w-1", worker_name="one", at=0)
    if known == "all":
        more = {"rank": 3, "exit_code": 1, "signal": "SIGKILL", "error": "E: {odd}", "hint": "none", "step": 7}
        failure = failure.model_copy(update=more)
    sentence = explain_end(reason, None if known == "nothing" else failure, sentence="It failed.")
    assert "None" not in sentence
    assert "{" not in sentence.replace("{odd}", "")


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_only_sigkill_is_explained_by_memory(signal: str) -> None:
    failure = Failure(reason=EndReason.RANK_KILLED, worker="w-1", worker_name="one", at=0, rank=0, signal=signal)
    assert ("ran out of memory" in explain_end(EndReason.RANK_KILLED, failure)) is (signal == "SIGKILL")


def test_the_first_retry_is_immediate_and_later_ones_back_off() -> None:
    delays = [requeue_delay_seconds(EndReason.WORKER_LOST, used, 1.0) for used in range(1, 10)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] <= 30
    assert 0.2 <= requeue_delay_seconds(EndReason.ASSIGNMENT_REFUSED, 0, 0.5) <= 1.0


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 9))
def test_every_sample_is_visited_once_whatever_the_world_size(samples: int, batch: int, world_size: int) -> None:
    visited: list[int] = []
    for step in range(steps_per_epoch(samples, batch)):
        start, end = batch_bounds(step, samples, batch)
        weights = 0.0
        for rank in range(world_size):
            first, last = rank_bounds(start, end, rank, world_size)
            visited.extend(range(first, last))
            weights += gradient_weight(last - first, end - start, world_size)
        assert weights / world_size == pytest.approx(1.0)
    assert visited == list(range(samples))


@pytest.mark.parametrize(
    ("trainer", "given_", "words"),
    [
        ("cnnn", {}, "Trainer cnnn does not exist. There are: mlp, lstm, cnn."),
        ("cnn", {"lr": 1}, "Trainer cnn has no parameter lr. It has: batch_size"),
        ("cnn", {"dropout": 1.5}, "Parameter dropout of trainer cnn is 1.5: Input should be less than 1."),
        ("mlp", {"epochs": "many"}, "Parameter epochs of trainer mlp is 'many'"),
        ("mlp", {"batch_size": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_parameters_are_named(trainer: str, given_: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_parameters(trainer, given_)
    assert words in str(error.value)


def test_defaults_are_filled_in() -> None:
    assert parse_parameters("mlp", {}).dropout == 0.2
    assert parse_parameters("cnn", {"epochs": 2}).epochs == 2


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HEADWAY_LEASE": "3"}, "HEADWAY_LEASE is not a setting"),
        ({"HEADWAY_DRAIN_SECONDS": "10"}, "HEADWAY_DRAIN_SECONDS is called HEADWAY_SETTLE_SECONDS now: rename"),
        ({"HEADWAY_ASSIGNMENTS_URL": "amqp://a"}, "HEADWAY_ASSIGNMENTS_URL is called HEADWAY_WAKEUPS_URL now: rename"),
        ({"HEADWAY_PORT": "x"}, "HEADWAY_PORT is 'x'"),
        ({"HEADWAY_SETTLE_SECONDS": "10"}, "HEADWAY_ORPHAN_TIMEOUT_SECONDS is 300; it must be below"),
    ],
)
def test_wrong_settings_are_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingInvalid) as error:
        load_settings(variables)
    assert words in str(error.value)


def test_options_win_over_variables(tmp_path: Path) -> None:
    assert load_settings({"HEADWAY_PORT": "1"}, port=2, home=tmp_path).port == 2
    assert load_settings({"HEADWAY_PORT": "1"}, port=None).port == 1


def test_an_unknown_backend_names_its_setting() -> None:
    with pytest.raises(
        SettingInvalid, match=r"HEADWAY_DATABASE_URL begins with oracle; it must begin with one of: sql"
    ):
        backend("database", "oracle://x")


def test_problems_come_back_as_the_errors_they_were() -> None:
    assert isinstance(error_from_problem(409, {"code": "name_taken", "detail": "x"}), NameTaken)
    assert isinstance(error_from_problem(409, {"code": "conflict"}), Conflict)
    assert isinstance(error_from_problem(502, {}), Unavailable)
    wrong = [{"at": "parameters.epochs", "message": "give a whole number"}]
    invalid = error_from_problem(422, {"code": "invalid_input", "detail": "x", "errors": wrong})
    assert isinstance(invalid, InvalidInput)
    assert invalid.fields == ("parameters.epochs",)


def test_every_setting_says_what_it_is_for() -> None:
    for module, classes in (("settings.py", {"Settings", "WorkerSettings"}), ("core/protocol.py", {"Timeouts"})):
        tree = ast.parse((Path(headway.__file__).parent / module).read_text())
        for found in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in classes):
            for position, node in enumerate(found.body):
                if isinstance(node, ast.AnnAssign):
                    after = found.body[position + 1]
                    assert isinstance(after, ast.Expr), f"{found.name}.{ast.unparse(node.target)} has no docstring"
    assert "lease_seconds" in Settings.model_fields
