"""Datasets on the client's side: add them from files, fetch them from mirrors, write them as files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import httpx

from headway.client.connection import Connection, path_part
from headway.client.transfers import transfer_progress
from headway.core.dataset import Dataset
from headway.core.name import check_name
from headway.errors import Corrupt, InvalidInput, Unavailable
from headway.formats import blocks
from headway.formats.bounded import decompress_gzip
from headway.rank_protocol.paths import DATASET_FILE, array_file

MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
}
MIRRORS_VARIABLE = "HEADWAY_DATASET_MIRRORS"
"""The variable that names other mirrors of built-in datasets, separated by commas."""
MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""MNIST's files with the SHA-256 of their unpacked contents."""
_TIMEOUT_SECONDS = 30.0
_ASKED_BLOCKS = 1000
_MAXIMUM_FILE_BYTES = 100 << 20


def add_dataset(connection: Connection, name: str, path: Path) -> dict[str, Any]:
    """See `Client.add_dataset`."""
    from headway.formats.dataset_files import describe, prepare, read_dataset

    try:
        check_name(name)
    except ValueError as error:
        raise InvalidInput(f"Dataset {error}.") from error
    if not path.exists():
        raise InvalidInput(f"{path} does not exist.")
    arrays = prepare(read_dataset(path), str(path))
    splits, contents = blocks.cut_splits(arrays)
    dataset = describe(name, arrays, splits, path.name)
    missing: set[str] = set()
    for start in range(0, len(contents), _ASKED_BLOCKS):
        body = [block.model_dump() for block, _ in contents[start : start + _ASKED_BLOCKS]]
        missing |= {*connection.request("POST", "/datasets/missing", json=body, retry=True).json()["missing"]}
    to_send = [(block, compressed) for block, compressed in contents if block.sha256 in missing]
    with transfer_progress(f"Uploading {name}", sum(len(compressed) for _, compressed in to_send)) as sent:
        for block, compressed in to_send:
            connection.request("PUT", f"/blocks/{block.sha256}", content=compressed, retry=True)
            sent(len(compressed))
    added: dict[str, Any] = connection.request("POST", "/datasets", json=dataset.model_dump(), retry=True).json()
    return added


def fetch_dataset(connection: Connection, name: str) -> dict[str, Any]:
    """See `Client.fetch_dataset`."""
    if name not in MIRRORS:
        raise InvalidInput(f"Dataset {name} has no public mirror: add it from files, `headway datasets add NAME PATH`.")
    with tempfile.TemporaryDirectory() as folder:
        for filename, sha256 in MNIST_FILES.items():
            content = _fetch(name, f"{filename}.gz", sha256)
            (Path(folder) / filename).write_bytes(content)
        return add_dataset(connection, name, Path(folder))


def _fetch(name: str, filename: str, sha256: str) -> bytes:
    """The unpacked contents from the first mirror that has them. Raises Unavailable with the answer of each mirror."""
    chosen = os.environ.get(MIRRORS_VARIABLE)
    reasons = []
    for mirror in chosen.split(",") if chosen else MIRRORS[name]:
        url = f"{mirror.rstrip('/')}/{filename}"
        try:
            content = decompress_gzip(_get(url), _MAXIMUM_FILE_BYTES)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise Corrupt("its contents do not match their hash")
            return content
        except (httpx.HTTPError, OSError, Corrupt) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
    raise Unavailable(
        f"Dataset {name} could not be fetched. {'. '.join(reasons)}. Set {MIRRORS_VARIABLE} to other mirrors, "
        f"or add it from files: headway datasets add {name} FOLDER."
    )


def _get(url: str) -> bytes:
    """A file, with a progress bar."""
    with httpx.stream("GET", url, timeout=_TIMEOUT_SECONDS, follow_redirects=True) as response:
        response.raise_for_status()
        total = response.headers.get("content-length", "")
        total_bytes = int(total) if total.isdecimal() else None
        content = bytearray()
        with transfer_progress(f"Fetching {url.rpartition('/')[2]}", total_bytes) as received:
            for chunk in response.iter_raw():
                content += chunk
                received(len(chunk))
                if len(content) > _MAXIMUM_FILE_BYTES:
                    raise Corrupt(f"it is larger than {_MAXIMUM_FILE_BYTES:,} bytes")
        return bytes(content)


def download_dataset(connection: Connection, name: str, folder: Path) -> Path:
    """See `Client.download_dataset`."""
    index = connection.request("GET", f"/datasets/{path_part(name)}")
    dataset = Dataset.model_validate_json(index.content, extra="ignore")
    folder.mkdir(parents=True, exist_ok=True)
    for split_name, split in dataset.splits.items():
        files = {array: array_file(folder, split_name, array).open("wb") for array in split.arrays}
        try:
            for array, file in files.items():
                file.write(blocks.npy_header(split.arrays[array], split.sample_count))
            for block in split.blocks:
                compressed = connection.request("GET", f"/blocks/{block.sha256}").content
                blocks.verify(block, compressed)
                for array, content in blocks.unpack(split, block, compressed).items():
                    files[array].write(content)
        finally:
            for file in files.values():
                file.close()
    (folder / DATASET_FILE).write_text(dataset.model_dump_json(exclude={"splits": {"__all__": {"blocks"}}}))
    return folder
