"""The web page: what the server sends of it, to whom, and by which rules."""

from __future__ import annotations

import re

import pytest

from tests.api.conftest import Api

pytestmark = pytest.mark.anyio
NOBODY = {"Authorization": ""}


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/j-none", "/new", "/settings", "/login"])
async def test_every_address_of_the_page_answers_with_the_document(api: Api, path: str) -> None:
    """Given a browser without a session, when it opens a link into the page, then it gets the document."""
    answer = await api.http.get(path, headers=NOBODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert '<div id="root">' in answer.text


async def test_the_document_allows_no_inline_script_and_nothing_from_elsewhere(api: Api) -> None:
    first, second = [await api.http.get("/", headers=NOBODY) for _ in range(2)]
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:", first.text + policy)
    nonce = re.search(r"'nonce-([\w-]{20,})'", policy)
    assert nonce is not None
    assert f'nonce="{nonce[1]}"' in first.text
    assert nonce[1] not in second.text
    assert re.findall(r"<script(?![^>]* src=)", first.text) == []


async def test_files_of_the_page_are_compressed_and_kept(api: Api) -> None:
    """Given the document, then each file that it names is sent compressed, and the first scripts are small enough."""
    document = (await api.http.get("/", headers=NOBODY)).text
    names = re.findall(r'(?:src|href)="(/assets/[^"]+)"', document)
    assert len(names) >= 3
    script_bytes = 0
    for name in names:
        packed = await api.http.get(name, headers={**NOBODY, "Accept-Encoding": "gzip"})
        plain = await api.http.get(name, headers={**NOBODY, "Accept-Encoding": "identity"})
        assert packed.content == plain.content
        assert "immutable" in packed.headers["cache-control"]
        if name.endswith(".js"):
            assert packed.headers["content-encoding"] == "gzip"
            script_bytes += int(packed.headers["content-length"])
    assert script_bytes <= 300_000


@pytest.mark.parametrize("name", ["none.js", "..%2Findex.html", "%2e%2e/index.html"])
async def test_only_files_of_the_page_are_sent(api: Api, name: str) -> None:
    assert (await api.http.get(f"/assets/{name}", headers=NOBODY)).status_code in (401, 404)
