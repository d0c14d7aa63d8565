"""JSON bodies, parsed strictly: every client must be able to read what the server stores and sends."""

from __future__ import annotations

import json
from email.message import Message
from typing import Any

from headway.core.json_value import check_json, shown
from headway.errors import InvalidInput


def read_json(body: bytes) -> Any:
    """The value in a body. Raises InvalidInput if it is not JSON by RFC 8259, has a name twice, or has a value that
    cannot be stored. The error names the field.
    """
    try:
        value = json.loads(body, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The body is not valid JSON: {error.msg} at character {error.pos}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("The body is not valid JSON: it is not encoded as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is not valid JSON: a number is too long, or it is nested too deeply.") from error
    check_json(value)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = iter(found)
        twice = next(name for name, _ in pairs if name != next(names, None))
        raise InvalidInput(f"The body has the name {shown(twice)} twice: leave one out.")
    return found


def is_json(content_type: str) -> bool:
    """Whether a body is JSON, by the same rule as FastAPI."""
    message = Message()
    message["content-type"] = content_type or "text/plain"
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
