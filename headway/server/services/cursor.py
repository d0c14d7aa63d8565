"""Where a reader of a job's streams stands."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated

from pydantic import AliasChoices, Field

from headway.core.attempt import LARGEST_NUMBER
from headway.core.frozen import Frozen
from headway.core.json_value import shown
from headway.errors import InvalidInput

_Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class _CursorFields(Frozen):
    event: _Number
    settled: _Number = Field(validation_alias=AliasChoices("settled", "drained"))
    reports: dict[_Number, dict[str, _Number]]


@dataclass
class Cursor:
    """Where a follower stands: an event number, and a report number per worker of each attempt that may get more.

    Attempts up to `settled` are read to their end.
    """

    event: int = 0
    settled: int = 0
    reports: dict[str, dict[str, int]] = field(default_factory=dict)

    def encode(self) -> str:
        """The cursor as an opaque word."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self), separators=(",", ":")).encode()).decode()

    @classmethod
    def decode(cls, word: str | None) -> Cursor:
        """The cursor of `encode`, or the beginning. Raises InvalidInput."""
        if not word:
            return cls()
        try:
            fields = _CursorFields.model_validate_json(base64.urlsafe_b64decode(word))
        except ValueError as error:
            raise InvalidInput(
                f"Cursor {shown(word)} is not one of this server. Leave it out to read from the start."
            ) from error
        return cls(fields.event, fields.settled, {str(number): at for number, at in fields.reports.items()})

    def copy(self) -> Cursor:
        """A cursor at the same place that moves by itself."""
        return Cursor(self.event, self.settled, {number: dict(at) for number, at in self.reports.items()})

    def covers(self, other: Cursor) -> bool:
        """Whether this place is not before the other, of which only what both have is compared."""
        if 0 < self.event < other.event or 0 < self.settled < other.settled:
            return False
        return all(
            self.reports[number].get(worker, 0) >= reached
            for number, workers in other.reports.items()
            for worker, reached in workers.items()
            if number in self.reports
        )
