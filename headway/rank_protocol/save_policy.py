"""When ranks save on their own."""

from __future__ import annotations

import json
from typing import NamedTuple

from headway.errors import Corrupt
from headway.rank_protocol.fields import check_fields


class SavePolicy(NamedTuple):
    """When a rank that calls `run.should_save` has to save. Outside Headway: at the ends of epochs."""

    every_steps: int | None = None
    every_seconds: float | None = None
    epoch_end: bool = True

    def to_json(self) -> str:
        """The policy for `from_json`."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> SavePolicy:
        """The policy that a worker wrote. Raises Corrupt, which names missing or unknown fields."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise Corrupt(f"the save policy is a {type(values).__name__}, not an object")
        check_fields(values, "the save policy", cls._fields)
        return cls(**values)
