"""Descriptions of fields for the API document, taken from the docstring under each field."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from headway.core.checkpoint import Checkpoint
from headway.core.job import Job
from headway.server.api.job_views import CheckpointView, JobView

_VIEWS: dict[type[BaseModel], type[BaseModel]] = {JobView: Job, CheckpointView: Checkpoint}
"""Views, each with the record that describes those of its fields that have no docstring."""


@cache
def field_words(model: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field of a model and of its base classes, on one line each."""
    words = field_words(_VIEWS[model]) if model in _VIEWS else {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, BaseModel) and parent.__module__.startswith("headway."):
            words |= _own_words(parent)
    return words


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _own_words(model: type[BaseModel]) -> dict[str, str]:
    found = _classes(model.__module__)[model.__name__]
    return {
        field.target.id: " ".join(str(after.value.value).split())
        for field, after in zip(found.body, found.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def describe_fields(schemas: dict[str, Any]) -> None:
    """Complete the API's schemas: each field without a description gets its docstring."""
    models = {model.__name__: model for model in _models(BaseModel)}
    for name, schema in schemas.items():
        if name in models and "properties" in schema:
            words = field_words(models[name])
            for field, described in schema["properties"].items():
                if field in words:
                    described.setdefault("description", words[field])


def _models(parent: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in parent.__subclasses__():
        if model.__module__.startswith("headway."):
            yield model
        yield from _models(model)
