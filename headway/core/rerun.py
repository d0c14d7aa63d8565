"""The spec of a rerun: another job's spec, with changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway.core.job import JobSpec
from headway.core.spec_names import renamed_fields

_NOT_REPEATED = ("name", "from_checkpoint")


def rerun_fields(spec: JobSpec, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the new job's spec, not validated yet. It gets another name and starts from the beginning.

    `changes` is a JSON merge patch (RFC 7396): mappings such as parameters are changed entry by entry, other values
    are replaced, and null removes. Raises ValueError when an entry to remove does not exist.
    """
    changes = renamed_fields(changes)
    fields = {name: value for name, value in spec.model_dump(mode="json").items() if name not in _NOT_REPEATED}
    if "world_size" in changes:
        del fields["minimum_world_size"]
    for name, change in changes.items():
        old = fields.pop(name, None)
        if isinstance(change, Mapping):
            fields[name] = _merged(name, old if isinstance(old, dict) else {}, change)
        elif change is not None:
            fields[name] = change
    return fields


def _merged(field: str, old: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    absent = [name for name, change in changes.items() if change is None and name not in old]
    if absent:
        there = ", ".join(sorted(old)) or "nothing"
        raise ValueError(f"{field} has no {absent[0]} to remove; it has: {there}")
    return {name: value for name, value in {**old, **changes}.items() if value is not None}
