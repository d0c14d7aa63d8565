"""The API's document, completed with what FastAPI does not know: errors, frames, and which routes are for whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Any

from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from headway.server.access import CallerKind, allowed_kinds
from headway.server.api.field_words import describe_fields
from headway.server.api.frames import FRAMES
from headway.server.api.live_frames import LIVE_FRAME
from headway.server.api.problems import MEDIA_TYPE, Problem
from headway.server.api.routes import GuardedRoute

API_PREFIX = "/api/v1"
WORKER_TAG = "worker protocol"
"""Of the routes that users cannot use."""
DESCRIPTION = """Distributed model training.

Times are seconds since the epoch, durations are seconds. Cursors are opaque: send one back as it came, or leave it out
to begin at the start; a damaged one is refused with 422. Every error is a `Problem`.
"""
_REFERENCE = "#/components/schemas/{model}"
_TIME = "Seconds since the epoch."
_DESCRIPTIONS = {
    401: "The token is missing, expired, or not of this installation.",
    403: "The token does not allow this.",
    404: "The object does not exist.",
    409: "The object's state does not allow it.",
    410: "The worker was declared lost. It has to register again.",
    413: "The body is larger than its limit.",
    416: "The file does not have the requested range.",
    422: "A value of the request is not allowed. The problem names it.",
    429: "Too many wrong passwords came for this account, or from this address.",
    503: "The server or a backend cannot answer now. Try again later.",
}


def operation_id(route: APIRoute) -> str:
    """What generated clients call a route: the name of its function, a verb and a noun."""
    return route.name


def complete(document: dict[str, Any], routes: Sequence[GuardedRoute]) -> dict[str, Any]:
    """Complete the document of an API with these guarded routes, in place."""
    _add_schemas(document["components"]["schemas"])
    document["components"]["responses"] = {
        f"Problem{status}": {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
        }
        for status, description in _DESCRIPTIONS.items()
    }
    kinds = {
        (f"{API_PREFIX}{route.path_format}", method.lower()): allowed_kinds(route.allow.action)
        for route in routes
        for method in route.methods or ()
    }
    for path, method, operation in _operations(document):
        operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
        callers = kinds.get((path, method), {CallerKind.USER})
        if CallerKind.USER not in callers:
            operation["tags"] = [WORKER_TAG]
        for status in _statuses(path, method, callers, operation) if path.startswith(API_PREFIX) else (503,):
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    tags = sorted({tag for _, _, operation in _operations(document) for tag in operation["tags"]} - {WORKER_TAG})
    document["tags"] = [{"name": tag} for tag in tags]
    document["tags"].append({"name": WORKER_TAG, "description": "What workers and ranks use. Users cannot."})
    return document


def for_users(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the routes that only workers and ranks use."""
    paths = {
        path: {method: one for method, one in methods.items() if WORKER_TAG not in one["tags"]}
        for path, methods in document["paths"].items()
    }
    tags = [tag for tag in document["tags"] if tag["name"] != WORKER_TAG]
    return {**document, "paths": {path: methods for path, methods in paths.items() if methods}, "tags": tags}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _add_schemas(schemas: dict[str, Any]) -> None:
    """Add the schemas of errors and frames, and the words of fields; arrays of fixed length become plain ones."""
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _, models = models_json_schema([(Problem, "serialization")], ref_template=_REFERENCE)
    schemas |= models["$defs"]
    for name, adapter in (*FRAMES.items(), ("LiveFrame", LIVE_FRAME)):
        frame = adapter.json_schema(mode="serialization", ref_template=_REFERENCE)
        for model, schema in frame.pop("$defs").items():
            schemas.setdefault(model, schema)
        schemas[name] = {**frame, "title": name}
    describe_fields(schemas)
    for schema in schemas.values():
        _complete_fields(schema)


def _complete_fields(schema: dict[str, Any]) -> None:
    for name, field in schema.get("properties", {}).items():
        said = field.get("description", "")
        is_number = {"type": "number"} in field.get("anyOf", [{"type": field.get("type")}])
        if is_number and (name == "at" or name.endswith("_at")) and "since the epoch" not in said:
            field["description"] = f"{said} {_TIME}".strip()
        _flatten_tuples(field)


def _flatten_tuples(schema: Any) -> None:
    """Write tuples as arrays of any of their items: generators of clients do not agree on `prefixItems`."""
    if isinstance(schema, list):
        for one in schema:
            _flatten_tuples(one)
    elif isinstance(schema, dict):
        if "prefixItems" in schema:
            items = schema.pop("prefixItems")
            kinds = [one for at, one in enumerate(items) if one not in items[:at]]
            schema["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        for one in schema.values():
            _flatten_tuples(one)


def _statuses(path: str, method: str, callers: Set[CallerKind], operation: dict[str, Any]) -> list[int]:
    """The error statuses of a route. One that is about a project answers 404 for a project that the caller lacks."""
    statuses = [401, 403, 422, 503]
    if "{" in path or method != "get":
        statuses += [404, 409]
    elif any(one["name"] == "project" for one in operation.get("parameters", ())):
        statuses.append(404)
    if method in ("post", "put", "patch"):
        statuses.append(413)
    if path in (f"{API_PREFIX}/session", f"{API_PREFIX}/session/tokens") and method == "post":
        statuses.append(429)
    if CallerKind.WORKER in callers:
        statuses.append(410)
    if path.endswith(("/artifacts/{name}", "/checkpoints/{step}/{rank}", "/{from_attempt}/{step}/{rank}")):
        statuses += [416] if method == "get" else []
    return sorted(statuses)
