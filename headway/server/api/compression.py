"""Large answers in JSON, compressed for clients that accept it."""

from __future__ import annotations

import gzip

from fastapi import Request, Response

_SMALLEST_BYTES = 1 << 10
_LEVEL = 1
"""A list of jobs becomes a tenth of its size at this level. Higher ones cost more time than they save."""


def compressed(request: Request, body: bytes) -> Response:
    """The JSON as an answer, with gzip if the client accepts it."""
    headers = {"Vary": "Accept-Encoding"}
    accepted = [one.partition(";")[0].strip() for one in request.headers.get("accept-encoding", "").split(",")]
    if len(body) >= _SMALLEST_BYTES and "gzip" in accepted:
        body = gzip.compress(body, _LEVEL)
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type="application/json", headers=headers)
