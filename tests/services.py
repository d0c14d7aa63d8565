"""The servers for tests of backends. Their URLs come from the environment (see CONTRIBUTING.md).

`HEADWAY_SERVICES` names a folder with a program `services` that starts, stops, kills and pauses them. If a service is
missing, its tests are skipped, but fail in CI.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from tests.servers_lock import use_servers


class BackendSet(NamedTuple):
    """Backends that users run together. None, False: the embedded one."""

    database: str
    wakeups: str
    reports: str
    cache: str | None = None
    s3: bool = False


SETS = {
    "PostgreSQL, RabbitMQ, Redis, S3": BackendSet("postgresql", "rabbitmq", "rabbitmq", "REDIS_URL", s3=True),
    "MongoDB, RabbitMQ to dispatch, Kafka for results, Redis": BackendSet("mongodb", "rabbitmq", "kafka", "REDIS_URL"),
    "PostgreSQL, Kafka, Redis over TLS": BackendSet("postgresql", "kafka", "kafka", "REDIS_TLS_URL"),
    "as Amazon DocumentDB, Kafka over TLS": BackendSet("mongodb-tls", "kafka-tls-scram", "kafka-tls-scram"),
}
_PROXY_PORTS = 10_000
"""The proxy of a server has the server's port plus this number."""
FOLDER = os.environ.get("HEADWAY_SERVICES")


def service_url(variable: str) -> str:
    """The value of a variable such as POSTGRES_URL. No other test disturbs the servers until this test ends."""
    url = os.environ.get(variable)
    if url is None:
        missing(f"{variable} is not set: there is no such server to test with")
    use_servers()
    return str(url)


def missing(reason: str) -> None:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def control(*words: str) -> None:
    """`services kill kafka/1` and the like; the test has to be marked with `disturbs_servers`."""
    if FOLDER is None:
        missing("HEADWAY_SERVICES is not set: the servers cannot be controlled")
    subprocess.run([str(Path(str(FOLDER)) / "services"), *words], check=True, capture_output=True)


@asynccontextmanager
async def postgresql_database(variable: str = "POSTGRES_URL") -> AsyncIterator[str]:
    """The URL of a new, empty database, dropped afterwards."""
    import asyncpg

    server = service_url("POSTGRES_URL")
    name = f"test_{secrets.token_hex(6)}"
    administrator = await asyncpg.connect(dsn=server)
    try:
        await administrator.execute(f"CREATE DATABASE {name}")
    finally:
        await administrator.close()
    yield urlsplit(service_url(variable))._replace(path=f"/{name}").geturl()
    administrator = await asyncpg.connect(dsn=server)
    try:
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


@asynccontextmanager
async def mongodb_database(variable: str = "MONGODB_URL") -> AsyncIterator[str]:
    """The URL of a new, empty database, dropped afterwards."""
    from pymongo import AsyncMongoClient

    name = f"test_{secrets.token_hex(6)}"
    url = urlsplit(service_url(variable))._replace(path=f"/{name}").geturl()
    yield url
    async with AsyncMongoClient[dict[str, object]](url) as client:
        await client.drop_database(name)


@contextmanager
def s3_url(through: Callable[[str], str] = str) -> Iterator[str]:
    """The URL of an empty place in the bucket. The credentials are in the environment meanwhile."""
    endpoint, bucket, prefix = through(service_url("S3_URL")), service_url("S3_BUCKET"), f"test-{secrets.token_hex(6)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", service_url("S3_ACCESS_KEY"))
        patch.setenv("AWS_SECRET_ACCESS_KEY", service_url("S3_SECRET_KEY"))
        yield f"s3://{bucket}/{prefix}?endpoint={endpoint}&region={service_url('S3_REGION')}"


@asynccontextmanager
async def database_url(kind: str, folder: Path) -> AsyncIterator[str]:
    """The URL of an empty database of that kind."""
    match kind:
        case "postgresql":
            async with postgresql_database() as url:
                yield url
        case "mongodb":
            async with mongodb_database() as url:
                yield url
        case "mongodb-tls":
            async with mongodb_database("MONGODB_TLS_URL") as url:
                yield url
        case _:
            yield f"sqlite:///{folder / 'headway.db'}"


@asynccontextmanager
async def broker_url(kind: str) -> AsyncIterator[str]:
    """The URL of a broker. RabbitMQ's is an empty virtual host; all tests share Kafka's topics."""
    match kind:
        case "rabbitmq" | "rabbitmq-tls":
            parts = urlsplit(service_url("RABBITMQ_TLS_URL" if kind.endswith("tls") else "RABBITMQ_URL"))
            host = f"test-{secrets.token_hex(6)}"
            async with httpx.AsyncClient(base_url=service_url("RABBITMQ_MANAGEMENT_URL")) as management:
                everything = {"configure": ".*", "write": ".*", "read": ".*"}
                (await management.put(f"/api/vhosts/{host}")).raise_for_status()
                (await management.put(f"/api/permissions/{host}/{parts.username}", json=everything)).raise_for_status()
                yield parts._replace(path=f"/{host}").geturl()
                await management.delete(f"/api/vhosts/{host}")
        case "kafka":
            yield service_url("KAFKA_URL")
        case _:
            servers, authority = service_url("KAFKA_TLS_BOOTSTRAP_SERVERS"), service_url("TLS_CA")
            user, password = service_url("KAFKA_SASL_USERNAME"), service_url("KAFKA_SASL_PASSWORD")
            sasl = "PLAIN" if kind.endswith("plain") else "SCRAM-SHA-512"
            yield f"kafka://{user}:{password}@{servers}?cafile={authority}&sasl={sasl}"


def another_authority(folder: Path) -> Path:
    """A CA that signed none of the servers' certificates."""
    path = folder / "other-ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-days", "1"]
    subprocess.run([*command, "-keyout", str(folder / "other.key"), "-out", str(path)], check=True, capture_output=True)
    return path


def database_for_processes(kind: str, folder: Path) -> AbstractContextManager[str]:
    """`database_url` for a test that is not asynchronous because its servers are processes."""
    return _awaited(database_url(kind, folder))


def broker_for_processes(kind: str) -> AbstractContextManager[str]:
    """`broker_url` for such a test."""
    return _awaited(broker_url(kind))


@contextmanager
def _awaited(context: AbstractAsyncContextManager[str]) -> Iterator[str]:
    with asyncio.Runner() as runner:
        url = runner.run(context.__aenter__())
        try:
            yield url
        finally:
            runner.run(context.__aexit__(None, None, None))


@contextmanager
def settings_of_set(name: str, folder: Path, through: Callable[[str], str] = str) -> Iterator[dict[str, str]]:
    """The settings of a server on one of the SETS, with an empty database. `through` changes each server's URL."""
    chosen = SETS[name]
    with ExitStack() as stack:
        settings = {"database_url": stack.enter_context(database_for_processes(chosen.database, folder))}
        settings["wakeups_url"] = settings["reports_url"] = stack.enter_context(broker_for_processes(chosen.wakeups))
        if chosen.reports != chosen.wakeups:
            settings["reports_url"] = stack.enter_context(broker_for_processes(chosen.reports))
        if chosen.cache is not None:
            settings["cache_url"] = service_url(chosen.cache)
        settings = {setting: through(url) for setting, url in settings.items()}
        if chosen.s3:
            settings["objects_url"] = stack.enter_context(s3_url(through)) + "&links=yes"
        yield settings


def through_proxy(url: str) -> str:
    """The URL of the same server through its proxy."""
    parts = urlsplit(url)
    credentials, at, servers = parts.netloc.rpartition("@")
    places = [server.rpartition(":") for server in servers.split(",")]
    proxies = [f"{host}:{int(port) + _PROXY_PORTS}" for host, _, port in places]
    return parts._replace(netloc=credentials + at + ",".join(proxies)).geturl()


class Proxies:
    """Controls the proxies of some servers (https://github.com/Shopify/toxiproxy#http-api)."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._url = service_url("TOXIPROXY_URL")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Close connections and refuse new ones."""
        self._each("", {"enabled": False})
        try:
            yield
        finally:
            self._each("", {"enabled": True})

    @contextmanager
    def toxic(self, kind: str, **attributes: int) -> Iterator[None]:
        """Add `latency`, or `timeout=0`: nothing arrives in either direction, and nothing is closed."""
        for stream in ("upstream", "downstream"):
            self._each("/toxics", {"name": stream, "type": kind, "stream": stream, "attributes": attributes})
        try:
            yield
        finally:
            for name in self._names:
                for stream in ("upstream", "downstream"):
                    httpx.delete(f"{self._url}/proxies/{name}/toxics/{stream}").raise_for_status()

    def _each(self, path: str, body: dict[str, object]) -> None:
        for name in self._names:
            httpx.post(f"{self._url}/proxies/{name}{path}", json=body).raise_for_status()
