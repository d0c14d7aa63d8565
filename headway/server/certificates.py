"""TLS of the server itself: who may listen without it, and certificates that are renewed while it runs."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from pathlib import Path

from headway.errors import SettingInvalid
from headway.settings import Settings

_LOOK_SECONDS = 5.0
_log = logging.getLogger(__name__)


def check_exposure(settings: Settings) -> None:
    """Raises SettingInvalid for a server that others would reach without TLS, and for a certificate without its key."""
    if (settings.tls_certificate is None) is not (settings.tls_key is None):
        raise SettingInvalid("HEADWAY_TLS_CERTIFICATE and HEADWAY_TLS_KEY belong together: set both.")
    if settings.tls_certificate is None and not settings.behind_proxy and not _is_loopback(settings.host):
        raise SettingInvalid(
            f"On {settings.host}, others on the network could read tokens and passwords. Give --tls-certificate and "
            "--tls-key. If a proxy with TLS stands in front, or you trust the network, give --behind-proxy. "
            "docs/how-to/secure.md says more."
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def keep_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use the files' new content for new connections as soon as both fit, for ever. Open connections stay."""
    used = _stamps(certificate, key)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        found = _stamps(certificate, key)
        if found == used or found is None:
            continue
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            _log.warning("The new certificate in %s is not used yet: %s", certificate, error)
            continue
        used = found
        _log.info("The certificate in %s was renewed.", certificate)


def _stamps(*files: Path) -> list[tuple[int, int]] | None:
    """What changes with the content of the files; None while one is missing."""
    try:
        return [(stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files)]
    except OSError:
        return None
