"""Verified downloads. An interrupted download continues where it stopped."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from headway.client.connection import Connection, error_of
from headway.errors import Corrupt
from headway.object_links import store_away, store_refused

_CHUNK_BYTES = 1 << 20


def download(connection: Connection, job: str, artifact: dict[str, Any], folder: Path, *, linked: bool) -> Path:
    """Download one artifact into a folder, under its name. Raises Corrupt when its bytes do not match their hash.

    `linked`: it is a link to a file that was just downloaded, and becomes a link again.
    """
    from headway.core.artifact import Artifact  # here, as pydantic takes longer to import than most commands run

    checked = Artifact.model_validate(artifact, extra="ignore")  # its name stays inside the folder
    if linked and checked.link_to is not None:
        return _link(folder / checked.name, folder / checked.link_to)
    url = f"/jobs/{job}/artifacts/{quote(checked.name)}"
    return download_file(connection, url, folder / checked.name, checked.size_bytes, checked.sha256)


def _link(path: Path, target: Path) -> Path:
    """Make `path` a link to a downloaded file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, path.parent))
    temporary.replace(path)
    return path


def download_file(connection: Connection, url: str, path: Path, size_bytes: int, sha256: str) -> Path:
    """Download to `path`, and continue an interrupted download. Raises Corrupt if the bytes do not match."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:50]}.{sha256[:12]}.part")  # a name may be as long as the file system allows
    start = partial.stat().st_size if partial.exists() else 0
    digest = hashlib.sha256()
    with partial.open("a+b") as file:
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        if start < size_bytes or not start:
            headers = {"Range": f"bytes={start}-"} if start else {}
            try:
                with connection.http.stream("GET", url, headers=headers, follow_redirects=True) as response:
                    if not response.is_success:
                        response.read()
                        raise store_refused(response) if response.history else error_of(response)
                    for chunk in response.iter_bytes():
                        digest.update(chunk)
                        file.write(chunk)
            except httpx.HTTPError as error:
                raise (store_away(error, connection.url) or connection.unavailable(error)) from error
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise Corrupt(f"{path.name} does not match its hash; download it again.")
    partial.rename(path)
    return path
