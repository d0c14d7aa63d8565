"""Checks the field names of an object from the other side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from headway.errors import Corrupt


def check_fields(
    values: Mapping[str, Any], subject: str, fields: Collection[str], optional: Collection[str] = ()
) -> None:
    """Raises Corrupt, with their names, when `values` lack required `fields` or have unknown ones."""
    missing = [name for name in fields if name not in values and name not in optional]
    unknown = [name for name in values if name not in fields]
    problems = []
    if missing:
        problems.append(f"lacks {_listed(missing)}")
    if unknown:
        problems.append(f"has {_listed(unknown)}, which this Headway does not know")
    if problems:
        raise Corrupt(f"{subject} {' and '.join(problems)}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(ascii(name)[1:-1][:80] for name in names[:10])
    return f"{'fields' if len(names) > 1 else 'the field'} {shown}"
