"""Errors of an object store to which the server's answer leads: see `Objects.link`. The token is not sent there."""

from __future__ import annotations

import httpx

from headway.errors import Unavailable


def store_refused(response: httpx.Response) -> Unavailable:
    """The error for an answer of the store."""
    return Unavailable(
        f"The object store at {response.url.host} answers {response.status_code} for a file to which the server led. "
        "Try again; each link works for ten minutes."
    )


def store_away(error: Exception, server_url: str) -> Unavailable | None:
    """The error if it is the store, not the server, that does not answer. None if it is the server."""
    if not isinstance(error, httpx.RequestError):
        return None
    asked, server = error.request.url, httpx.URL(server_url)
    if (asked.scheme, asked.host, asked.port) == (server.scheme, server.host, server.port):
        return None
    return Unavailable(
        f"The object store at {asked.host} does not answer: {error or type(error).__name__}. If this machine cannot "
        "reach it, set links=no in the server's HEADWAY_OBJECTS_URL."
    )
