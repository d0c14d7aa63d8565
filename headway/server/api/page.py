"""The web page: one document for all its addresses, and files that have the hash of their content in their names."""

from __future__ import annotations

import gzip
import mimetypes
import secrets
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headway.errors import NotFound

router = APIRouter(include_in_schema=False)
PAGE_FOLDER = "/assets/"
"""Where the page's scripts, styles and pictures are."""
_BUILT = Path(__file__).parents[1] / "page"
"""What `make page` built from `ui/`."""
_PAGES = frozenset({"jobs", "new", "compare", "datasets", "models", "workers", "settings", "login"})
"""What the page's addresses begin with."""
_NONCE = "nonce-of-this-answer"
"""Stands in the document for a number that only this answer has."""
_FOREVER = "public, max-age=31536000, immutable"


def is_of_page(path: str) -> bool:
    """Whether the path is the page's: it holds nothing that a user sent, so everyone may load it."""
    return path == "/" or path.startswith(PAGE_FOLDER) or path[1:].partition("/")[0] in _PAGES


def _rules(nonce: str) -> str:
    """Scripts come from files of this server alone. Emotion adds the styles that it makes with the nonce."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
        "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


@router.get("/assets/{name}")
async def page_file(name: str, request: Request) -> Response:
    """One file of the page, compressed where the browser can read that. Raises NotFound."""
    if name not in _names():
        raise NotFound(f"The page has no file {name[:80]}. Load the page again: the server may be newer than it.")
    plain, packed = _content(name)
    media_type = mimetypes.guess_type(name)[0]
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(plain, media_type=media_type, headers=headers)


async def page(request: Request) -> Response:
    """The document, which is the same for every address of the page."""
    nonce = secrets.token_urlsafe(16)
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _rules(nonce)}
    return Response(_document().replace(_NONCE, nonce), media_type="text/html", headers=headers)


router.add_api_route("/", page, methods=["GET"])
for _first in sorted(_PAGES):
    router.add_api_route(f"/{_first}", page, methods=["GET"])
    router.add_api_route(f"/{_first}/{{rest:path}}", page, methods=["GET"])


@cache
def _document() -> str:
    return (_BUILT / "index.html").read_text()


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in (_BUILT / "assets").iterdir())


@cache
def _content(name: str) -> tuple[bytes, bytes]:
    """A file's bytes, and the same compressed."""
    plain = (_BUILT / "assets" / name).read_bytes()
    return plain, gzip.compress(plain, mtime=0)
