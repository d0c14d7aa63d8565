"""The headers that tell browsers what they may do with an answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message

_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For everything that is data: were it shown as a page, it could load and run nothing."""
_DOCUMENTATION = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""For the pages of the documentation, which have scripts of their own and nothing that a user sent."""
_PAGES = frozenset({"/docs", "/redoc", "/docs/oauth2-redirect"})


def add_browser_rules(message: Message, path: str) -> None:
    """Let browsers guess no types, run nothing in an answer, and show it in no frame."""
    headers = MutableHeaders(scope=message)
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault(
        "Content-Security-Policy", _DOCUMENTATION if path in _PAGES else _NOTHING
    )  # the page has its own
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "no-referrer"
