"""Sentences about the wrong fields of a request or job file. They replace pydantic's messages. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from headway.core.json_value import shown
from headway.core.nearest import did_you_mean

_BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
"""Pydantic's names for the bounds of a number, and ours."""


class InvalidField(NamedTuple):
    """A field's path, empty for the whole input, and what is wrong: without a full stop, or with a question mark."""

    at: str
    message: str

    @property
    def sentence(self) -> str:
        """The wrong fields, and what is wrong with each."""
        words = f"{self.at}: {self.message}" if self.at else self.message
        return words if words.endswith("?") else f"{words}."


def invalid_field(error: Mapping[str, Any], model: type[BaseModel] | None = None) -> InvalidField:
    """What one of `ValidationError.errors()` means. `model`: the model that validated it, for its field names."""
    path = tuple(error["loc"])
    return InvalidField(".".join(map(str, path)), _message(error, path, model))


def _message(error: Mapping[str, Any], path: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    value = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            meant = did_you_mean(str(path[-1]), _fields_at(path[:-1], model))
            return "there is no such field" + (f".{meant}" if meant else "")
        case "missing":
            return "it is missing" if path else "the request has no body"
        case "string_pattern_mismatch":
            return f"{shown(value)} does not have the required form"
        case "string_type":
            return f"{_kind_of(value)}; give text, in quotes: {_quoted(value)}"
        case "tuple_type" | "list_type":
            return f"{_kind_of(value)}; give a list: {_as_list(value)}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{_kind_of(value)}; give names with values: {{NAME: VALUE}}"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{_kind_of(value)}; give a whole number{_unit(path)}"
        case "float_parsing" | "float_type":
            return f"{_kind_of(value)}; give a number{_unit(path)}"
        case "bool_parsing" | "bool_type":
            return f"{_kind_of(value)}; give true or false"
        case "finite_number":
            return f"{shown(value)} is not finite; give a finite number"
        case "literal_error" | "enum":
            return _not_allowed(value, error["ctx"]["expected"])
        case "greater_than" | "greater_than_equal":
            return f"{shown(value)} is too small; give a number {_range(error['ctx'], path, model)}"
        case "less_than" | "less_than_equal":
            return f"{shown(value)} is too large; give a number {_range(error['ctx'], path, model)}"
        case "string_too_long":
            return f"it has {len(str(value)):,} characters; {error['ctx']['max_length']:,} are allowed"
        case "string_too_short":
            return f"it has {len(str(value)):,} characters; {error['ctx']['min_length']:,} are needed"
        case "too_long":
            return f"it has more than {error['ctx']['max_length']:,} values, the most that are allowed"
        case "too_short":
            return f"it has {error['ctx']['actual_length']:,} values; {error['ctx']['min_length']:,} are needed"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _not_allowed(value: Any, expected: str) -> str:
    """What a field with a few allowed values accepts. pydantic lists them in quotes."""
    meant = did_you_mean(str(value), re.findall("'([^']*)'", expected))
    return f"{shown(value)} is not allowed; give {expected}" + (f".{meant}" if meant else "")


def _range(violated: Mapping[str, Any], path: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    """The numbers that a field accepts. Of an unknown field, the violated bound."""
    part = _part_at(path[:-1], model)
    field = part.model_fields.get(str(path[-1])) if part is not None and path else None
    known = field.metadata if field is not None else []
    bounds = {name: getattr(one, name) for name in _BOUNDS for one in known if hasattr(one, name)} | {**violated}
    shown_bounds = {name: f"{int(one) if one == int(one) else one:,}" for name, one in bounds.items()}
    if "ge" in bounds and "le" in bounds:
        return f"from {shown_bounds['ge']} to {shown_bounds['le']}"
    return " and ".join(f"{words} {shown_bounds[name]}" for name, words in _BOUNDS.items() if name in bounds)


def _fields_at(path: tuple[int | str, ...], model: type[BaseModel] | None) -> list[str]:
    """The field names of the model at the path."""
    part = _part_at(path, model)
    return [*part.model_fields] if part is not None else []


def _part_at(path: tuple[int | str, ...], model: type[BaseModel] | None) -> type[BaseModel] | None:
    """The model at the path, if there is one."""
    for part in path:
        field = model.model_fields.get(str(part)) if model is not None else None
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return model


def _kind_of(value: Any) -> str:
    """The kind of the value, for people."""
    if value is None:
        return "it is empty"
    if isinstance(value, bool):
        return f"{str(value).lower()} is a truth value"
    if isinstance(value, int | float):
        return f"{shown(value)} is a number"
    if isinstance(value, str):
        return f"{shown(value)} is text"
    return "it is a list" if isinstance(value, list | tuple) else "it has names and values"


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return f"'{str(value).lower()}'"
    return f"'{shown(value)}'" if isinstance(value, int | float) else "'...'"


def _as_list(value: Any) -> str:
    if not isinstance(value, str):
        return "[A, B]"
    try:
        words = shlex.split(value)
    except ValueError:  # a quote without its end
        words = [value]
    return json.dumps(words) if len(value) < 200 else "[A, B]"


def _unit(path: tuple[int | str, ...]) -> str:
    """The unit in the field's name."""
    name = str(path[-1]) if path else ""
    units = {"_seconds": " of seconds, such as 3600", "_bytes": " of bytes, such as 4000000000"}
    return next((unit for ending, unit in units.items() if name.endswith(ending)), "")
