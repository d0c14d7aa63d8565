"""The released API still works: the code has everything in the released document, and requires nothing new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.server.api.document import WORKER_TAG
from headway.server.app import describe_api
from tests.api.conftest import Api

RELEASED = Path(__file__).with_name("released_openapi.json")
"""docs/reference/openapi.json of the last release; each release replaces it. Before the first: of 29 November."""
Document = dict[str, Any]


def breaking_changes(old: Document, new: Document) -> Iterator[str]:
    """The changes that would break a client of the old document."""
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            now = new["paths"].get(path, {}).get(method)
            where = f"{method.upper()} {path}"
            yield from [f"{where} is gone"] if now is None else _operation_changes(where, operation, now)
    schemas = new["components"]["schemas"]
    sent = set(_sent_schemas(old))
    for name, schema in old["components"]["schemas"].items():
        if name not in schemas:
            yield f"schema {name} is gone"
            continue
        fields, now = schema.get("properties", {}), schemas[name].get("properties", {})
        yield from (f"{name} lost {field}" for field in fields.keys() - now.keys())
        before, after = set(schema.get("required", ())), set(schemas[name].get("required", ()))
        if name in sent:
            yield from (f"{name} asks for {field}" for field in after - before)
        else:
            yield from (f"{name} may leave out {field}" for field in (before - after) & now.keys())
        yield from (
            f"{name}.{field} has another type"
            for field in fields.keys() & now.keys()
            if _types(fields[field]) != _types(now[field])
        )
        yield from (
            f"{name} knows no {value}" for value in set(schema.get("enum", ())) - set(schemas[name].get("enum", ()))
        )


def _operation_changes(where: str, old: Document, new: Document) -> Iterator[str]:
    if old["operationId"] != new["operationId"]:
        yield f"{where} is called {new['operationId']}"
    before = {one["name"]: one for one in old.get("parameters", ())}
    after = {one["name"]: one for one in new.get("parameters", ())}
    yield from (f"{where} lost parameter {name}" for name in before.keys() - after.keys())
    for name, parameter in after.items():
        if parameter.get("required") and not before.get(name, {}).get("required"):
            yield f"{where} asks for parameter {name}"
    yield from (f"{where} answers no {status}" for status in old["responses"].keys() - new["responses"].keys())


def _sent_schemas(document: Document) -> Iterator[str]:
    """The schemas of request bodies, with the schemas that they use."""
    schemas, seen = document["components"]["schemas"], set[str]()
    bodies = [one.get("requestBody", {}) for methods in document["paths"].values() for one in methods.values()]
    waiting = [name for body in bodies for name in _references(body)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += _references(schemas[name])


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for one in value for name in _references(one)]
    if isinstance(value, dict):
        own = [value["$ref"].rpartition("/")[2]] if "$ref" in value else []
        return own + [name for one in value.values() for name in _references(one)]
    return []


def _types(field: Document) -> set[str]:
    return {str(one.get("type", one.get("$ref"))) for one in field.get("anyOf", [field])}


def test_nothing_that_was_released_is_broken() -> None:
    assert list(breaking_changes(json.loads(RELEASED.read_text()), describe_api())) == []


def test_a_breaking_change_would_be_noticed() -> None:
    old = describe_api()
    new = json.loads(json.dumps(old))
    schemas = new["components"]["schemas"]
    del new["paths"]["/api/v1/jobs"]["get"]
    new["paths"]["/api/v1/jobs"]["post"]["parameters"] = [{"name": "project", "required": True}]
    new["paths"]["/api/v1/workers"]["get"]["operationId"] = "workers"
    del schemas["JobView"]["properties"]["sentence"]
    schemas["JobSpec"]["required"] = ["name"]
    schemas["Problem"]["required"].remove("code")
    schemas["WorkerView"]["properties"]["slots"]["type"] = "string"
    schemas["JobStatus"]["enum"].remove("queued")
    assert set(breaking_changes(old, new)) == {
        "GET /api/v1/jobs is gone",
        "POST /api/v1/jobs lost parameter idempotency-key",
        "POST /api/v1/jobs asks for parameter project",
        "GET /api/v1/workers is called workers",
        "JobView lost sentence",
        "JobSpec asks for name",
        "Problem may leave out code",
        "WorkerView.slots has another type",
        "JobStatus knows no queued",
    }


def test_every_time_says_its_unit_and_every_route_its_name() -> None:
    document = describe_api()
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if field.endswith("_at"):
                assert "since the epoch" in described["description"], (name, field)
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    ids = [one["operationId"] for one in operations]
    assert len(ids) == len(set(ids))
    assert all(one.count("_") <= 3 for one in ids)
    assert all(one["summary"] == one["operationId"].replace("_", " ").capitalize() for one in operations)


@pytest.mark.anyio
async def test_the_pages_of_the_documentation_show_what_users_can_do(api: Api) -> None:
    """Given the page that lists the routes, when it loads its document, then that has no route of workers or ranks."""
    page = (await api.http.get("/docs")).text
    assert "openapi.users.json" in page
    shown, whole = [(await api.http.get(path)).json() for path in ("/openapi.users.json", "/openapi.json")]
    tags = {tag for methods in shown["paths"].values() for one in methods.values() for tag in one["tags"]}
    assert "jobs" in tags
    assert WORKER_TAG not in tags
    hidden = set(whole["paths"]) - set(shown["paths"])
    assert "/api/v1/workers/{worker}/heartbeat" in hidden
    assert not any(path.startswith("/api/v1/jobs/{job}/logs") for path in hidden)
    assert whole == describe_api()


def test_the_document_has_examples_and_a_summary_for_every_route() -> None:
    document = describe_api()
    body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert {"trainer", "script", "command"} <= body["examples"].keys()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
