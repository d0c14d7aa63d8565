"""URL scheme to backend. A backend's module, and with it its client library, is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from headway.errors import SettingInvalid

BACKENDS: dict[str, dict[str, str]] = {
    "database": {"sqlite": "headway.database.sqlite:SqliteDatabase"},
    "objects": {"file": "headway.objects.files:FileObjects"},
    "broker": {"embedded": "headway.brokers.embedded:EmbeddedBroker"},
    "cache": {"memory": "headway.caches.memory:MemoryCache"},
    "engine": {"fleet": "headway.engines.fleet:FleetEngine"},
}


def backend(kind: str, url: str) -> Any:
    """The class that serves `url`. Raises SettingInvalid for a scheme that no backend has."""
    schemes = BACKENDS[kind]
    scheme = urlsplit(url).scheme
    if scheme not in schemes:
        setting = f"HEADWAY_{kind.upper()}_URL"
        known = ", ".join(f"{known}:" for known in schemes)
        raise SettingInvalid(f"{setting} begins with {scheme or repr(url)}; it must begin with one of: {known}")
    module, _, name = schemes[scheme].partition(":")
    return getattr(import_module(module), name)
