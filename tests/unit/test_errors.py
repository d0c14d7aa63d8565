"""Errors, as servers answer and clients raise them."""

from __future__ import annotations

from headway.errors import Conflict, InvalidInput, NameTaken, Unavailable, error_from_problem


def test_problems_come_back_as_the_errors_they_were() -> None:
    assert isinstance(error_from_problem(409, {"code": "name_taken", "detail": "x"}), NameTaken)
    assert isinstance(error_from_problem(409, {"code": "conflict"}), Conflict)
    assert isinstance(error_from_problem(502, {}), Unavailable)
    wrong = [{"at": "parameters.epochs", "message": "give a whole number"}]
    invalid = error_from_problem(422, {"code": "invalid_input", "detail": "x", "errors": wrong})
    assert isinstance(invalid, InvalidInput)
    assert invalid.fields == ("parameters.epochs",)
