"""The credential of a request: a token in `Authorization`, or a browser's cookie. Never both."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from headway.errors import NotAllowed, NotAuthenticated
from headway.server.services.logins import Login
from headway.server.sessions import PREFIX, SESSION_SECONDS

_READING_METHODS = ("GET", "HEAD")


def cookie_name(connection: HTTPConnection) -> str:
    """The name has the port that the browser uses: browsers send cookies to all ports of a host."""
    try:
        port = urlsplit(f"//{connection.headers.get('host', '')}").port
    except ValueError:
        port = None
    return "headway_session" if port is None else f"headway_session_{port}"


def set_cookie(connection: HTTPConnection, answer: Response, login: Login) -> None:
    """Give the session to the browser. Scripts cannot read the cookie, and pages of other sites cannot use it."""
    answer.set_cookie(
        cookie_name(connection),
        login.text,
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=connection.url.scheme == "https",
    )


def delete_cookie(connection: HTTPConnection, answer: Response) -> None:
    """Let the browser forget the session."""
    answer.delete_cookie(cookie_name(connection), httponly=True, samesite="strict")


def token_of(connection: HTTPConnection) -> str:
    """The credential of the request. Raises NotAuthenticated, NotAllowed.

    Browsers send `Origin` with each request that changes something. `WebOrigins` has checked its value.
    """
    authorization = connection.headers.get("authorization")
    cookie = connection.cookies.get(cookie_name(connection))
    if cookie is None:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated(
                "This needs a token: send it as `Authorization: Bearer TOKEN`. It is in the file user.token of the "
                "home."
            )
        if token.startswith(PREFIX):
            raise NotAuthenticated("This is the cookie of a session, and no token.")
        return token.strip()
    if authorization:
        raise NotAuthenticated("This request has a token and the cookie of a session. Send one of them.")
    if connection.scope.get("method") not in _READING_METHODS and "origin" not in connection.headers:
        raise NotAllowed("A session changes something only for its own page: the request has no Origin.")
    return cookie
