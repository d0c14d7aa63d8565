"""Maps URL schemes to backends. A backend's module and its client library are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from headway.errors import SettingInvalid
from headway.redaction import redacted

BACKENDS: dict[str, dict[str, str]] = {
    "database": {
        "sqlite": "headway.database.sqlite:SqliteDatabase",
        "postgresql": "headway.database.postgresql:PostgresqlDatabase",
        "mongodb": "headway.database.mongodb:MongodbDatabase",
    },
    "objects": {"file": "headway.objects.files:FileObjects", "s3": "headway.objects.s3:S3Objects"},
    "broker": {
        "embedded": "headway.brokers.embedded:EmbeddedBroker",
        "amqp": "headway.brokers.rabbitmq:RabbitmqBroker",
        "amqps": "headway.brokers.rabbitmq:RabbitmqBroker",
        "kafka": "headway.brokers.kafka:KafkaBroker",
    },
    "worker_broker": {
        "amqp": "headway.brokers.rabbitmq:RabbitmqWorkerBroker",
        "amqps": "headway.brokers.rabbitmq:RabbitmqWorkerBroker",
        "kafka": "headway.brokers.kafka:KafkaWorkerBroker",
    },
    "cache": {
        "memory": "headway.caches.memory:MemoryCache",
        "redis": "headway.caches.redis:RedisCache",
        "rediss": "headway.caches.redis:RedisCache",
    },
    "engine": {
        "fleet": "headway.engines.fleet:FleetEngine",
        "local": "headway.engines.local:LocalEngine",
        "kubernetes": "headway.engines.kubernetes.engine:KubernetesEngine",
    },
}


EXTRAS = {"amqp": "rabbitmq", "amqps": "rabbitmq", "rediss": "redis"}
"""The extra to install for a scheme, if it has another name than the scheme."""


def backend(kind: str, url: str) -> Any:
    """The backend class for `url`. Raises SettingInvalid for an unknown scheme."""
    schemes = BACKENDS[kind]
    scheme = urlsplit(url).scheme
    if scheme not in schemes:
        setting = "HEADWAY_ENGINE_URLS" if kind == "engine" else f"HEADWAY_{kind.upper()}_URL"
        known = ", ".join(f"{known}:" for known in schemes)
        raise SettingInvalid(
            f"{setting} begins with {scheme or repr(redacted(url))}; it must begin with one of: {known}"
        )
    module, _, name = schemes[scheme].partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(scheme, scheme)
        raise SettingInvalid(
            f"{redacted(url)} needs {error.name}, which is not installed: pip install 'headway[{extra}]'"
        ) from error
