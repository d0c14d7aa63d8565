"""Python functions as jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headway.client.job_options import JobOptions
from headway.errors import InvalidInput
from headway.rank_protocol.paths import CALL_FILE, CALL_SCRIPT

_CALL = (
    b'"""Calls the function that was sent along."""\n\nfrom headway.training.function import call\n\ncall(__file__)\n'
)


def check_call(function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
    """Raises InvalidInput when the function does not accept these arguments."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # some functions in C have no signature
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        name = getattr(function, "__name__", "the function")
        mistaken = [
            word for word in keywords if word in JobOptions.__annotations__ and word not in signature.parameters
        ]
        hint = f' Options of the job are separate: options={{"{mistaken[0]}": ...}}.' if mistaken else ""
        raise InvalidInput(f"{name} cannot be called like this: {error}.{hint}") from error


def call_files(function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of a snapshot with which ranks call the function. Raises InvalidInput."""
    import cloudpickle

    try:
        pickled = cloudpickle.dumps((function, tuple(arguments), dict(keywords)))
    except Exception as error:  # an object's own reduction may raise anything
        raise InvalidInput(
            f"The function or its arguments cannot be serialised: {error}. Open files, locks and connections inside it."
        ) from error
    return {CALL_SCRIPT: _CALL, CALL_FILE: pickled}
