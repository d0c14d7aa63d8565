"""The API that was promised is still there: what the committed document has, the code has, and asks for no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway.server.app import describe_api

PROMISED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
Document = dict[str, Any]


def breaking_changes(old: Document, new: Document) -> Iterator[str]:
    """What a client of the old document could stumble over."""
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            where = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{where} is gone"
                continue
            before = {one["name"]: one for one in operation.get("parameters", ())}
            after = {one["name"]: one for one in now.get("parameters", ())}
            yield from (f"{where} lost parameter {name}" for name in before.keys() - after.keys())
            for name, parameter in after.items():
                if parameter.get("required") and not before.get(name, {}).get("required"):
                    yield f"{where} asks for parameter {name}"
            yield from (
                f"{where} answers no {status}" for status in operation["responses"].keys() - now["responses"].keys()
            )
    schemas = new["components"]["schemas"]
    for name, schema in old["components"]["schemas"].items():
        if name not in schemas:
            yield f"schema {name} is gone"
            continue
        lost = schema.get("properties", {}).keys() - schemas[name].get("properties", {}).keys()
        yield from (f"{name} lost {field}" for field in lost)
        if name in ("JobSpec", "Command", "Description", "Environment"):  # what clients send
            asked = set(schemas[name].get("required", ())) - set(schema.get("required", ()))
            yield from (f"{name} asks for {field}" for field in asked)


def test_nothing_that_was_promised_is_broken() -> None:
    assert list(breaking_changes(json.loads(PROMISED.read_text()), describe_api())) == []


def test_a_breaking_change_would_be_noticed() -> None:
    old = describe_api()
    new = json.loads(json.dumps(old))
    del new["paths"]["/api/v1/jobs"]["get"]
    new["paths"]["/api/v1/jobs"]["post"]["parameters"] = [{"name": "project", "required": True}]
    del new["components"]["schemas"]["JobView"]["properties"]["sentence"]
    new["components"]["schemas"]["JobSpec"]["required"] = ["name"]
    assert set(breaking_changes(old, new)) == {
        "GET /api/v1/jobs is gone",
        "POST /api/v1/jobs lost parameter idempotency-key",
        "POST /api/v1/jobs asks for parameter project",
        "JobView lost sentence",
        "JobSpec asks for name",
    }


def test_the_document_has_examples_and_a_word_for_every_route() -> None:
    document = describe_api()
    body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert {"trainer", "script", "command"} <= body["examples"].keys()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
