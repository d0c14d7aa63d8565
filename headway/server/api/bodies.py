"""Request bodies: read up to a limit, and JSON parsed strictly, as every client must be able to read what is stored.

A route sets its own limit by `Allow(..., maximum_body_bytes=...)`, see routes.py.
"""

from __future__ import annotations

import asyncio
import json
from email.message import Message
from typing import Any

from fastapi import Request

from headway.core.json_value import check_json, shown
from headway.errors import InvalidInput, TooLarge

MAXIMUM_BODY_BYTES = 1 << 20
"""The largest body of a route that declares no other limit."""
_LARGE_BYTES = 64 << 10
"""Larger JSON is parsed in a thread: a million values take more than a second, which workers would have to wait."""


async def parse_json(body: bytes) -> Any:
    """The value in a body, as `read_json`; a large one is parsed in a thread."""
    return await asyncio.to_thread(read_json, body) if len(body) > _LARGE_BYTES else read_json(body)


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


async def read_body(request: Request, maximum_bytes: int) -> bytes:
    """The whole body. Raises ClientDisconnect, and TooLarge once it exceeds the limit, whatever its headers say."""
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > maximum_bytes:
        raise _too_large(request, maximum_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > maximum_bytes:
            raise _too_large(request, maximum_bytes)
    return bytes(body)


def _too_large(request: Request, maximum_bytes: int) -> TooLarge:
    path = request.url.path[:200]
    return TooLarge(f"The body of {request.method} {path} is larger than the {maximum_bytes:,} bytes allowed.")
