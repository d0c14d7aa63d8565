"""Files as answers: whole, or the requested range, so that a download can continue where it was cut off."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Header, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from headway.errors import RangeInvalid
from headway.server.services.stored_file import StoredFile

_MAXIMUM_DIGITS = 18
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", "content": _BYTES},
    206: {"description": "A part of it.", "content": _BYTES},
    307: {
        "description": "The object store sends it: `Location` is a link that works for ten minutes, without a token."
    },
}
"""How the API document describes the answers of `send_file`."""
ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Bytes packed with zstd.",
        "content": {"application/zstd": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""The same for packed bytes."""
RangeHeader = Annotated[str | None, Header(alias="Range", description="`bytes=FIRST-LAST`: only this part.")]


def send_file(file: StoredFile, byte_range: str | None = None) -> Response:
    """An answer that a browser saves as a file. Its ETag is the hash. Raises RangeInvalid.

    If the object store can send the file, the answer is a link to it.
    """
    start, end = parse_range(byte_range, file.size_bytes)
    if file.link is not None:
        return RedirectResponse(file.link, headers={"Cache-Control": "no-store"})
    headers = {
        "ETag": f'"{file.sha256}"',
        "Accept-Ranges": "bytes",
        "Content-Length": str(end - start),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
        "X-Content-Type-Options": "nosniff",
    }
    partial = (start, end) != (0, file.size_bytes)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    return StreamingResponse(
        file.read(start, end),
        status_code=206 if partial else 200,
        media_type="application/octet-stream",
        headers=headers,
    )


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int]:
    """The half-open range that a Range header requests. The whole file if there is no header, or one of an unknown
    form.

    RFC 9110, section 14. Raises RangeInvalid when the range starts after the end of the file.
    """
    match = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", (header or "").strip())
    if match is None or match.groups() == ("", ""):
        return 0, size_bytes
    first, last = (_bounded(digits) for digits in match.groups())
    if first is None:
        start, end = size_bytes - min(last or 0, size_bytes), size_bytes
    else:
        start, end = first, size_bytes if last is None else min(last + 1, size_bytes)
    if start >= size_bytes or end <= start:
        raise RangeInvalid(f"The file has {size_bytes:,} bytes; {header} is not a part of it.")
    return start, end


def _bounded(digits: str) -> int | None:
    """The number, bounded: one with more digits than any file size becomes the largest size."""
    if not digits:
        return None
    return int(digits) if len(digits) <= _MAXIMUM_DIGITS else 10**_MAXIMUM_DIGITS
