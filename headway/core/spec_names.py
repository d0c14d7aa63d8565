"""The names of a spec's fields in this version and in earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EARLIER_NAMES = {"data": "dataset", "variables": "env"}
"""Earlier names of fields, which are still read, and their names now."""


def renamed_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a spec with their names of now. Raises ValueError when a field is given under both names."""
    renamed = {name: value for name, value in fields.items() if name not in EARLIER_NAMES}
    for earlier, name in EARLIER_NAMES.items():
        if earlier not in fields or (name in fields and not fields[earlier]):
            continue
        if renamed.get(name):
            raise ValueError(f"{earlier} is the earlier name of {name}: give {name} alone")
        renamed[name] = fields[earlier]
    return renamed
