"""Short tracebacks for errors of the client."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from headway.errors import HeadwayError

_Class = TypeVar("_Class", bound=type)


def with_short_errors(cls: _Class) -> _Class:
    """Remove the inner frames from errors that the public methods of a class raise.

    In a notebook the frames of the HTTP client would hide the message.
    """
    for name, member in vars(cls).items():
        if inspect.isfunction(member) and not name.startswith("_") and not inspect.isgeneratorfunction(member):
            setattr(cls, name, _shortened(member))
    return cls


def _shortened(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            return method(*arguments, **keywords)
        except HeadwayError as error:
            found = error
        raise found.with_traceback(None) from None

    return call
