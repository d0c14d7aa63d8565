"""How to run each registered backend in the suite of its kind.

A registered scheme that is missing here fails its suite and `test_registry.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from headway.backend_registry import BACKENDS
from tests.cluster import cluster_lock, engine_url, new_namespace
from tests.services import broker_url, database_url, s3_url, service_url

Run = Callable[[Path], AbstractAsyncContextManager[str]]
"""Returns the URL of an empty backend. Files of the backend go into the folder."""


def of_database(kind: str) -> Run:
    return partial(database_url, kind)


def of_broker(kind: str) -> Run:
    return lambda folder: broker_url(kind)


@asynccontextmanager
async def of_service(variable: str, folder: Path) -> AsyncIterator[str]:
    yield service_url(variable)


@asynccontextmanager
async def of_process(url: str, folder: Path) -> AsyncIterator[str]:
    """A backend in the server's process or in a folder."""
    yield url.format(folder=folder)


@asynccontextmanager
async def of_s3(folder: Path) -> AsyncIterator[str]:
    with s3_url() as url:
        yield url


@asynccontextmanager
async def of_cluster(folder: Path) -> AsyncIterator[str]:
    with cluster_lock(alone=False), new_namespace() as namespace:
        yield engine_url(namespace, grace_seconds="5")


RUNS: dict[str, dict[str, Run]] = {
    "database": {
        "sqlite": of_database("sqlite"),
        "postgresql": of_database("postgresql"),
        "mongodb": of_database("mongodb"),
    },
    "objects": {"file": partial(of_process, "file://{folder}/an objects folder"), "s3": of_s3},
    "broker": {
        "embedded": partial(of_process, "embedded:"),
        "amqp": of_broker("rabbitmq"),
        "amqps": of_broker("rabbitmq-tls"),
        "kafka": of_broker("kafka"),
    },
    "cache": {
        "memory": partial(of_process, "memory:"),
        "redis": partial(of_service, "REDIS_URL"),
        "rediss": partial(of_service, "REDIS_TLS_URL"),
    },
    "engine": {
        "fleet": partial(of_process, "fleet:"),
        "local": partial(of_process, "local:?slots=3"),
        "kubernetes": of_cluster,
    },
}


def schemes(kind: str) -> list[str]:
    """The parameters of a kind's suite: all registered schemes."""
    return list(BACKENDS[kind])


def run(kind: str, scheme: str, folder: Path) -> AbstractAsyncContextManager[str]:
    """The URL of an empty backend of that scheme."""
    if scheme not in RUNS[kind]:
        pytest.fail(f"{__name__}.RUNS does not say how the {kind} backend {scheme} is run in its suite. Add it.")
    return RUNS[kind][scheme](folder)
