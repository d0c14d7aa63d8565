"""Reads job files by the core schema of YAML 1.2. Text that only looks like a number stays text."""

from __future__ import annotations

import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_TEXT_FIELDS = frozenset(
    {"arguments", "command", "env", "variables", "outputs", "metrics", "labels", "where", "name", "notes"}
)
"""Fields that hold only text. A number, true or false in them is read as text."""
_LOOKS_OTHERWISE = frozenset(f"{_TAG}{kind}" for kind in ("int", "float", "bool", "timestamp"))
_NUMBER = r"(?:0|[1-9][0-9]*)"


class JobFileLoader(yaml.SafeLoader):
    """A loader that refuses a name given twice, which YAML itself accepts."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def get_single_node(self) -> Any:
        """The document, with the values of text fields as text."""
        root = super().get_single_node()
        if isinstance(root, yaml.MappingNode):
            for key, value in root.value:
                if isinstance(key, yaml.ScalarNode) and key.value in _TEXT_FIELDS:
                    _make_text(value)
        return root

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping. Raises an error if a name is given twice."""
        node = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in names:
                    raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
                names.add(key.value)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # such as an impossible date
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error


def _make_text(node: Any) -> None:
    """Mark a value, or the values of a list or mapping, as text."""
    if isinstance(node, yaml.SequenceNode):
        values = node.value
    elif isinstance(node, yaml.MappingNode):
        values = [value for _, value in node.value]
    else:
        values = [node]
    for value in values:
        if isinstance(value, yaml.ScalarNode) and value.tag in _LOOKS_OTHERWISE:
            value.tag = f"{_TAG}str"


def _construct_int(loader: Any, node: Any) -> int:
    return int(loader.construct_scalar(node), 0)


def _construct_float(loader: Any, node: Any) -> float:
    text: str = loader.construct_scalar(node)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _resolve(tag: str, pattern: str, first: str) -> None:
    JobFileLoader.add_implicit_resolver(f"{_TAG}{tag}", re.compile(f"(?:{pattern})$"), [*first, ""])


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", rf"[-+]?{_NUMBER}|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolve(
    "float",
    rf"[-+]?(?:\.[0-9]+|{_NUMBER}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+.0123456789",
)
_resolve("null", "~|null|Null|NULL|", "~nN")
_resolve("merge", "<<", "<")
_resolve("timestamp", r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?", "0123456789")
JobFileLoader.add_constructor(f"{_TAG}int", _construct_int)
JobFileLoader.add_constructor(f"{_TAG}float", _construct_float)
