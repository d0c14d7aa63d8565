"""Which addresses browsers may use: a page of another site must neither use a browser's cookie nor read an answer."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from headway.errors import NotAllowed
from headway.settings import Settings

_PROBES = frozenset({"/livez", "/readyz", "/health", "/version"})
"""They tell nothing else, and are asked by whatever name the server has."""
_LOOPBACK = "localhost"


class WebOrigins:
    """Knows the names of this server. A site that lets its own name point to this machine (DNS rebinding) has another
    name in `Host`, so it is refused. An IP address is no name, and cannot be used so.
    """

    def __init__(self, settings: Settings) -> None:
        advertised = urlsplit(settings.advertised_url or "")
        self._origins = {advertised.netloc} - {""}
        self._names = {_LOOPBACK, settings.host, socket.gethostname(), socket.getfqdn(), advertised.hostname or ""}
        self._names = {name.lower() for name in self._names if name}

    def check(self, connection: HTTPConnection) -> None:
        """Refuse requests of pages of other sites. Raises NotAllowed.

        A request with a token in `Authorization` may use any name: a page of another site does not have the token.
        """
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc not in {host, *self._origins}:
            raise NotAllowed(f"A page of {origin[:100]} may not use this server.")
        if connection.headers.get("authorization") or connection.scope["path"] in _PROBES:
            return
        if not self._is_known(host):
            raise NotAllowed(
                f"This server does not have the name {host[:100]}. Use its IP address, or start it with "
                "HEADWAY_ADVERTISED_URL, which says the name."
            )

    def _is_known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
