"""Values as they are written on a command line."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import click

from headway.core.nearest import did_you_mean

_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Word(click.Choice[str]):
    """One of a few words. A wrong one is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, if it is one of them."""
        if value not in self.choices:
            meant = did_you_mean(str(value), self.choices)
            self.fail(f"{value!r} is not one of {', '.join(self.choices)}.{meant}", param, ctx)
        return str(value)


class _Duration(click.ParamType[float]):
    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(rf"({_NUMBER})\s*([smhd]?)", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a length of time; write 90s, 30m, 2h or 1d", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class _Bytes(click.ParamType[int]):
    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(rf"({_NUMBER})\s*([kmgt]?)i?b?", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a size; write 500m or 4g", param, ctx)
        return int(float(match[1]) * _BYTES[match[2]])


class _Moment(click.ParamType[float]):
    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        ago = re.fullmatch(rf"({_NUMBER})([smhd])", str(value).strip().lower())
        try:
            if ago is not None:
                return (datetime.now() - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])).timestamp()
            return datetime.fromisoformat(str(value)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time; write 2h (ago), 2026-11-28 or 2026-11-28T14:00", param, ctx)


class _WorldSize(click.ParamType[int | dict[str, int]]):
    name = "RANKS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | dict[str, int]:
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", str(value).strip())
        if match is None or int(match[1]) < 1:
            self.fail(f"{value!r} is not a number of ranks; write 4, or 2-8 for at least 2 and at most 8", param, ctx)
        least = int(match[1])
        return least if match[2] is None else {"min": least, "max": int(match[2])}


WORLD_SIZE = _WorldSize()
"""A number of ranks, or a range of them."""
DURATION = _Duration()
"""A length of time, in seconds."""
BYTES = _Bytes()
"""A size, in bytes."""
MOMENT = _Moment()
"""A moment, in seconds since the epoch. A length of time means that long ago."""


def pair(text: str, option: str) -> tuple[str, str]:
    """NAME=VALUE, both not empty."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
    return name, value


def text_pair(text: str, option: str) -> tuple[str, str]:
    """NAME=VALUE, where the value may be empty."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
    return name, value


def typed_as(before: Any, text: str) -> bool | int | float | str:
    """The text; or a number, true or false, if the value before was one and the text is one as JSON writes it."""
    if isinstance(before, bool):
        return text == "true" if text in ("true", "false") else text
    if isinstance(before, int | float):
        if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
            return int(text)
        if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) and isfinite(float(text)):
            return float(text)
    return text
