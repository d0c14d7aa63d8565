"""Random ids, for all that the server names by itself."""

from __future__ import annotations

import secrets

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def draw_id(prefix: str, length: int = 12) -> str:
    """A new random id, easy to read aloud."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))
