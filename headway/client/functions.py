"""Python functions as jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headway.errors import InvalidInput
from headway.rank_protocol.paths import CALL_FILE, CALL_SCRIPT

_CALL = (
    b'"""Calls the function that was sent along."""\n\nfrom headway.training.function import call\n\ncall(__file__)\n'
)


def call_files(function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, bytes]:
    """The files that a snapshot needs so that its ranks call the function. Raises InvalidInput."""
    import cloudpickle

    try:
        pickled = cloudpickle.dumps((function, tuple(arguments), dict(keywords)))
    except Exception as error:  # whatever an object's own reduction raises
        raise InvalidInput(
            f"The function or its arguments cannot be serialised: {error}. Open files, locks and connections inside it."
        ) from error
    return {CALL_SCRIPT: _CALL, CALL_FILE: pickled}
