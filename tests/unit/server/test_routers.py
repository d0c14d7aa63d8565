"""Routers parse and render: each route calls one service, and none uses the parts behind the services."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import headway.server.api

ROUTERS = sorted(Path(headway.server.api.__file__).parent.glob("*.py"))
NO_SERVICES = {"backends", "database", "objects", "engines", "registry", "unsettled", "recorder", "tokens", "running"}
"""Parts that only services may use. A router that uses them would make decisions."""
SERVER = "server"


def functions() -> Iterator[tuple[str, ast.AsyncFunctionDef | ast.FunctionDef]]:
    for path in ROUTERS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                yield f"{path.stem}.{node.name}", node


def services_of(function: ast.AST) -> set[str]:
    """The attributes of the server that a function uses."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in (SERVER, f"self._{SERVER}")
    }


def test_no_router_reaches_behind_the_services() -> None:
    assert len(ROUTERS) > 20
    assert {name: used for name, one in functions() if (used := services_of(one) & NO_SERVICES)} == {}


def test_each_route_calls_one_service() -> None:
    joined = {name: used for name, one in functions() if len(used := services_of(one)) > 1}
    assert joined == {
        "admission.__init__": {"callers", "directory", "settings"},  # no route: it stands before them
        "admission._admit": {"callers", "audit"},
        "links.log_in": {"audit", "logins"},  # open to everyone, it says itself what was refused
        "events.of": {"clock", "rows"},  # keeps the places of a queue for a moment
        "live.connect_live_channel": {"live", "projects"},  # a WebSocket's project is resolved after it is accepted
        "live_topics.open_topic": {"workers", "following", "polling", "job_feed"},  # each topic is one of them
        "live_topics._queue": {"queue", "rows"},
        "health.get_health": {"check_ready", "damaged"},  # open to everyone, it tells two figures
        "streams.list_events": {"streams", "following"},  # a page of what there is, or a stream
        "streams.read_logs": {"streams", "following"},
        "streams.read_metrics": {"metrics", "following"},
    }
