"""The base of every record: immutable; unknown fields are refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """An immutable record; `model_copy(update=...)` makes the changed one.

    Its numbers are finite, except where a field says `MetricValue`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text must not have a NUL character")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
"""Text that the operating system accepts as an argument, a variable or an address: without NUL characters."""
MetricValue = Annotated[float, AllowInfNan(True)]
"""A logged value. It may be NaN, Infinity or -Infinity, which are text in JSON."""
MAXIMUM_SECONDS = 10 * 365 * 86_400
Seconds = Annotated[float, Field(le=MAXIMUM_SECONDS)]
"""A time to wait, at most ten years: the event loop does not accept unbounded times."""
