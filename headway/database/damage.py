"""Reads rows that may be damaged. Rows that cannot be read are left out and remembered."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from headway.core.damaged import DamagedRow, RowKind
from headway.errors import Damaged

_log = logging.getLogger(__name__)
_REMEMBERED_ROWS = 1_000
_REASON_CHARACTERS = 300
_ERRORS = (ValueError, TypeError, LookupError, RecursionError)
_BLOB = "x'"
_FOREIGN = re.compile(r"x'((?:[0-9a-f]{2})*)'")
_Value = TypeVar("_Value")
_Record = TypeVar("_Record", bound=BaseModel)


class Damage:
    """The damaged rows that this process has found, at most 1,000."""

    def __init__(self) -> None:
        self._rows: dict[tuple[RowKind, str], DamagedRow] = {}

    def rows(self, kind: RowKind | None = None) -> list[DamagedRow]:
        """The rows of one kind, or all."""
        return [row for row in self._rows.values() if kind in (None, row.kind)]

    def find(self, kind: RowKind, row_id: str) -> DamagedRow | None:
        """The row, if it is known to be damaged."""
        return self._rows.get((kind, row_id))

    def forget(self, kind: RowKind, row_id: str) -> None:
        """Forget a row that was stored again or deleted."""
        self._rows.pop((kind, row_id), None)

    def note(self, kind: RowKind, row_id: str, name: object, error: Exception, project: str | None = None) -> None:
        """Remember a row that cannot be read."""
        name = (name if isinstance(name, str) else row_key(name)) if name else row_id
        if (kind, row_id) not in self._rows and len(self._rows) < _REMEMBERED_ROWS:
            row = DamagedRow(kind=kind, id=row_id, name=name, reason=_reason(error), project=project)
            self._rows[kind, row_id] = row
            _log.error("The row of %s %s cannot be read and is left out: %s", kind, row.name, row.reason)

    def read(
        self, kind: RowKind, row_id: str, name: object, parse: Callable[[], _Value], project: str | None = None
    ) -> _Value | None:
        """The result of `parse` for the row; None if it cannot be read."""
        try:
            if _BLOB in row_id:
                raise ValueError("Headway does not write such keys")
            value = parse()
        except _ERRORS as error:
            self.note(kind, row_id, name, error, project)
            return None
        if self._rows:
            self.forget(kind, row_id)
        return value

    def read_all(self, kind: RowKind, model: type[_Record], documents: Iterable[tuple[str, str]]) -> list[_Record]:
        """The records of (id, document), without those that cannot be read."""
        read = (
            self.read(kind, row_id, "", lambda document=document: model.model_validate_json(document))  # type: ignore[misc]
            for row_id, document in documents
        )
        return [one for one in read if one is not None]

    def error(self, kind: RowKind, row_id: str, project: str) -> Damaged:
        """The error for a request that needs a damaged row."""
        row = self._rows.get((kind, row_id))
        name, reason = (row.name, row.reason) if row else (row_id, "its row cannot be read")
        return Damaged(
            f"{kind.capitalize()} {name} is damaged: {reason}. Delete it with `headway delete {name}`, or restore a "
            "backup.",
            row_id=row_id,
            project=project,
        )


def row_key(*values: object) -> str:
    """A row's key as text. A key that Headway cannot have written looks like SQL's bytes, such as `x'ff'`."""
    return "/".join(map(_key, values))


def foreign_bytes(key: str) -> bytes | None:
    """The bytes of a part of `row_key` that Headway cannot have written; None for other parts."""
    found = _FOREIGN.fullmatch(key)
    return bytes.fromhex(found[1]) if found else None


def _key(value: object) -> str:
    if isinstance(value, str):
        if "/" not in value and _BLOB not in value:
            return value
        value = value.encode()
    return f"{_BLOB}{value.hex()}'" if isinstance(value, bytes) else str(value)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the document'}: {first['msg']}"[:_REASON_CHARACTERS]
    return f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS]
