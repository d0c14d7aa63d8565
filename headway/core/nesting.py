"""How deep and how large a JSON value of somebody else is."""

from __future__ import annotations

from typing import Any

MAXIMUM_DEPTH = 64
MAXIMUM_ITEMS = 200_000


def check_nesting(value: Any) -> Any:
    """The value. Raises ValueError when it is deeper, or has more items, than can be stored and shown."""
    left = MAXIMUM_ITEMS
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list | tuple):
                inner += one
        left -= len(inner)
        if left < 0:
            raise ValueError(f"it has more than {MAXIMUM_ITEMS:,} items")
        if not inner:
            return value
        level = inner
    raise ValueError(f"it is nested more than {MAXIMUM_DEPTH} deep")
