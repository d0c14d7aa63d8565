"""The name that a user probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the known name that is nearest, after a space; empty if none is near."""
    names = [one for one in known if one]
    longer = [one for one in names if one.startswith(f"{name}_")]
    close = longer or get_close_matches(name, names, n=1)
    return f" Did you mean {close[0]}?" if close else ""
