"""Checks an answer against the API document: its status, its media type and its schema."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from headway.server.app import describe_api

UNPROMISED = {405, 500}
"""Statuses that no route documents: an unknown method, and a defect."""


async def check_documented(response: httpx.Response) -> None:
    """Fail for an answer that the API document does not describe."""
    operation = _operation(response.request.method, response.request.url.path)
    is_stream = "text/event-stream" in response.request.headers.get("accept", "")
    if operation is None or response.status_code in UNPROMISED or (is_stream and response.is_success):
        return
    where = f"{response.request.method} {response.request.url.path} answers {response.status_code}"
    promised = operation["responses"].get(str(response.status_code))
    assert promised is not None, where
    await response.aread()
    if "$ref" in promised:
        promised = _document()["components"]["responses"][promised["$ref"].rpartition("/")[2]]
    content = promised.get("content", {})
    media_type = response.headers.get("content-type", "").partition(";")[0]
    assert not response.content or media_type in content, f"{where} with {media_type}"
    if response.content and media_type.endswith("json"):
        schema = {**content[media_type]["schema"], "components": _document()["components"]}
        jsonschema_rs.validate(schema, response.json())


@cache
def _document() -> dict[str, Any]:
    return describe_api()


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Paths without names come first, as `/jobs/plan` before `/jobs/{job}`; artifacts have slashes in their names."""
    paths = sorted(_document()["paths"].items(), key=lambda one: one[0].count("{"))
    return [
        (re.compile(re.sub(r"{\w+}", "[^/]+", path).replace("artifacts/[^/]+", "artifacts/.+")), one)
        for path, one in paths
    ]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    found = (methods for pattern, methods in _patterns() if pattern.fullmatch(path))
    operation: dict[str, Any] | None = next(found, {}).get(method.lower())
    return operation
