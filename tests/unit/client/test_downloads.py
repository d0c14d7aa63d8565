"""What a job left is written to a folder of the user's: files, and links to them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.client.connection import Connection
from headway.client.job_handle import JobHandle
from headway.errors import NotFound

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

    connection = Connection("http://server", "token")
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
