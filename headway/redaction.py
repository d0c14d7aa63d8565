"""URLs for people and logs."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit


def redacted(url: str) -> str:
    """The URL without its password, for people and logs."""
    parts = urlsplit(url)
    place = parts.netloc
    if parts.password is not None:
        place = f"{quote(parts.username or '')}:***@{place.rpartition('@')[2]}"
    query = urlencode([(name, "***" if "password" in name else value) for name, value in parse_qsl(parts.query)])
    return parts._replace(netloc=place, query=query).geturl()
