"""A job's files and links are written to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.client.connection import Connection
from headway.client.job_handle import JobHandle
from headway.client.logins import TokenAuth
from headway.errors import NotFound, Unavailable

CONTENTS = {"old.pt": b"first", "model.pt": b"second", "latest.pt": b"second", "best.pt": b"first"}


def artifact(name: str, link_to: str | None = None) -> dict[str, Any]:
    content = CONTENTS[name]
    digest = hashlib.sha256(content).hexdigest()
    return {
        "name": name, "object_id": "o", "size_bytes": len(content), "sha256": digest, "attempt": 1, "link_to": link_to,
    }  # fmt: skip


def job_with(*artifacts: dict[str, Any]) -> JobHandle:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/j-a"):
            return httpx.Response(200, json={"id": "j-a", "name": "mine", "artifacts": artifacts})
        return httpx.Response(200, content=CONTENTS[request.url.path.rpartition("/")[2]])

    connection = Connection("http://server", TokenAuth("token"))
    connection.http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server/api/v1")
    return JobHandle(connection, {"id": "j-a", "name": "mine"})


def test_a_link_is_made_to_the_file_that_was_downloaded_with_it(tmp_path: Path) -> None:
    job_with(artifact("latest.pt", "model.pt"), artifact("model.pt")).download(folder=tmp_path)
    assert (tmp_path / "latest.pt").is_symlink()
    assert (tmp_path / "latest.pt").read_bytes() == b"second"


def test_a_file_of_the_same_name_that_has_other_bytes_is_not_linked_to(tmp_path: Path) -> None:
    """Given a file of another job in the folder, or one that a later attempt wrote again."""
    (tmp_path / "model.pt").write_bytes(b"another job's")
    job_with(artifact("latest.pt", "model.pt")).download("latest.pt", tmp_path)
    assert (tmp_path / "latest.pt").read_bytes() == b"second"
    job_with(artifact("best.pt", "model.pt"), artifact("model.pt")).download(folder=tmp_path)
    assert (tmp_path / "best.pt").read_bytes() == b"first"


@pytest.mark.parametrize("artifact", [None, "model.pt"])
def test_a_job_without_files_says_so(tmp_path: Path, artifact: str | None) -> None:
    with pytest.raises(NotFound, match=r"^Job mine has kept no files\.$"):
        job_with().download(artifact, tmp_path)


def job_in_a_store(store: Callable[[httpx.Request], httpx.Response]) -> JobHandle:
    """A job with one file, to which the server only gives a link."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "store":
            return store(request)
        if request.url.path.endswith("/j-a"):
            return httpx.Response(200, json={"id": "j-a", "name": "mine", "artifacts": [artifact("model.pt")]})
        return httpx.Response(307, headers={"Location": "http://store/bucket/key?signature=s"})

    connection = Connection("http://server", TokenAuth("token"), project="vision")
    connection.http = httpx.Client(
        transport=httpx.MockTransport(answer),
        base_url="http://server/api/v1",
        headers=connection.http.headers,
        params=connection.http.params,
    )
    return JobHandle(connection, {"id": "j-a", "name": "mine"})


def test_a_file_comes_from_the_object_store_to_which_the_server_leads(tmp_path: Path) -> None:
    """Given a download that stopped, then the store is asked for the rest, without the token and as it signed."""
    asked: list[httpx.Request] = []

    def store(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(206, content=CONTENTS["model.pt"][3:])

    digest = hashlib.sha256(CONTENTS["model.pt"]).hexdigest()
    (tmp_path / f".model.pt.{digest[:12]}.part").write_bytes(CONTENTS["model.pt"][:3])
    (path,) = job_in_a_store(store).download(folder=tmp_path)
    assert path.read_bytes() == CONTENTS["model.pt"]
    assert "authorization" not in asked[0].headers
    assert (str(asked[0].url), asked[0].headers["range"]) == ("http://store/bucket/key?signature=s", "bytes=3-")


def test_an_object_store_that_fails_is_named(tmp_path: Path) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match=r"The object store at store answers 403"):
        job_in_a_store(lambda request: httpx.Response(403, text="<Error/>")).download(folder=tmp_path)
    with pytest.raises(Unavailable, match=r"The object store at store does not answer: refused\. .* set links=no"):
        job_in_a_store(away).download(folder=tmp_path)
