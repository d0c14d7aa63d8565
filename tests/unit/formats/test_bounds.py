"""Unpacking is bounded. Stated sizes, counts and depths are not trusted."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zstandard

from headway import tar_members
from headway.core.dataset import MAXIMUM_BLOCK_BYTES, Block, Dataset, Split, check_index
from headway.errors import CheckpointCorrupt, Corrupt, InvalidInput, TooLarge
from headway.formats import blocks, snapshot
from headway.formats.bounded import decompress_gzip, decompress_zstd, unpack_msgpack
from headway.formats.metrics import Selection, decode_metrics, select_metrics
from headway.formats.reports import (
    MAXIMUM_REPORT_BYTES,
    LogLine,
    Report,
    decode_logs,
    decode_report,
    encode_logs,
    merge_reports,
)
from headway.formats.sections import MAXIMUM_SECTION_BYTES
from headway.rank_protocol import checkpoint_files
from headway.server.restore import check_backup

GIBIBYTE = 1 << 30
_MEMORY = 700 << 20
"""Address space of a process that unpacks a bomb."""


def zeros(size_bytes: int, *, stated: bool) -> bytes:
    """A zstd frame of so many zeros, which says how many they are or not."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj(size_bytes if stated else -1)
    piece = bytes(1 << 20)
    packed = b"".join(compressor.compress(piece) for _ in range(size_bytes // len(piece)))
    return packed + compressor.flush()


@pytest.mark.parametrize("stated", [True, False])
def test_a_frame_gives_no_more_than_allowed(stated: bool) -> None:
    for size_bytes in (3 << 20, (3 << 20) + (1 << 20)):
        frame = zeros(size_bytes, stated=stated)
        if size_bytes == 3 << 20:
            assert len(decompress_zstd(frame, 3 << 20)) == size_bytes
        else:
            with pytest.raises(Corrupt, match="unpack to more than the 3,145,728 allowed"):
                decompress_zstd(frame, 3 << 20)


def test_a_frame_may_not_ask_for_a_large_window() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = packed.compress(bytes(32 << 20)) + packed.flush()
    with pytest.raises(Corrupt, match="not a whole zstd frame"):
        decompress_zstd(frame, 64 << 20)


def test_gzip_gives_no_more_than_allowed() -> None:
    content = gzip.compress(bytes(1000))
    assert decompress_gzip(content, 1000) == bytes(1000)
    with pytest.raises(Corrupt, match="unpack to more than the 999 allowed"):
        decompress_gzip(content, 999)
    with pytest.raises(Corrupt, match="not a whole gzip file"):
        decompress_gzip(content[:-4], 1000)


@pytest.mark.parametrize(
    "content",
    [
        msgpack.packb([[]] * 1001),
        msgpack.packb([1] * 1001),
        msgpack.packb(dict.fromkeys(range(1001), 0)),
        msgpack.packb([[1] * 400, [2] * 400, [3] * 400]),
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\x00",
        b"\x81\x00" * 5000 + b"\x00",
        b"\xc7\x01\x05x",
    ],
    ids=["lists", "items", "map", "nested", "stated list", "stated map", "deep list", "deep map", "extension"],
)
def test_messagepack_has_no_more_items_than_allowed(content: bytes) -> None:
    with pytest.raises(Corrupt, match="cannot be read as MessagePack"):
        unpack_msgpack(content, 1000)


@pytest.mark.parametrize(
    "section",
    [
        zeros(MAXIMUM_SECTION_BYTES + (1 << 20), stated=True),
        zstandard.compress(b"\x90" * (8 << 20)),
        zstandard.compress(msgpack.packb([(1, (b"\0" * 3, b"\0" * 8, ["x"]))])),
        zstandard.compress(msgpack.packb([(1, (b"\0" * 4, b"\0" * 8, ["x", "y"]))])),
        zstandard.compress(msgpack.packb([(1, [("loss", 0, b"\0" * 7, b"\0" * 7, b"\0" * 7)])])),
        zstandard.compress(msgpack.packb([(1, [("loss", 0, b"\0" * 8, b"\0" * 8, b"\0" * 16)])])),
        zstandard.compress(msgpack.packb(7)),
        zstandard.compress(msgpack.packb([(1, 2)])),
    ],
    ids=["zeros", "lists", "odd bytes", "more texts", "odd points", "more values", "number", "no columns"],
)
def test_a_hostile_section_is_refused(section: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_logs(section)
    with pytest.raises(Corrupt):
        decode_metrics([section])
    assert select_metrics([section], Selection()) == []


def test_a_hostile_report_is_refused() -> None:
    for body in (b"\x90" * (4 << 20), b"\x91" * 2000, msgpack.packb([1] * 9), bytes(MAXIMUM_REPORT_BYTES + 1)):
        with pytest.raises(Corrupt):
            decode_report(body)


def test_a_block_gives_no_more_than_its_index_says() -> None:
    ((block, _),) = blocks.cut({"input": np.zeros((4, 60), np.uint8)})
    split = Split(sample_count=4, arrays=blocks.describe_arrays({"input": np.zeros((4, 60), np.uint8)}))
    with pytest.raises(Corrupt, match="unpack to more than the 240 allowed"):
        blocks.unpack(split, block, zeros(32 << 20, stated=True))


def test_an_index_of_huge_blocks_is_refused() -> None:
    arrays = {"input": {"dtype": "uint8", "sample_shape": [1 << 20]}, "label": {"dtype": "uint8", "sample_shape": []}}
    block = Block(sha256="0" * 64, sample_count=65, compressed_bytes=10)
    split = {"sample_count": 65, "arrays": arrays, "blocks": [block]}
    dataset = Dataset.model_validate(
        {"name": "x", "classes": 2, "splits": {"train": split, "test": split}, "mean": 0, "deviation": 1}
        | {"full_scale": 1}
    )
    with pytest.raises(InvalidInput, match=r"has a block of 68,157,505 bytes unpacked; 67,108,864 are allowed"):
        check_index(dataset)
    with pytest.raises(TooLarge, match="A sample has"):
        list(blocks.cut({"label": np.broadcast_to(np.uint8(0), (1, MAXIMUM_BLOCK_BYTES + 1))}))


def tar_bytes(*headers: bytes, content: bytes = b"") -> bytes:
    return b"".join(headers) + content + bytes(1024)


def header(name: str = "x", kind: bytes = tarfile.REGTYPE, size_bytes: int = 0) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size_bytes
    return entry.tobuf(format=tarfile.GNU_FORMAT)


def pax(**fields: str) -> bytes:
    """An extended header with these fields, before a regular file."""
    entry = tarfile.TarInfo("x")
    entry.pax_headers = fields
    return entry.tobuf(format=tarfile.PAX_FORMAT)


HOSTILE = {
    "a header of 1.5 GiB": tar_bytes(header(kind=tarfile.XHDTYPE, size_bytes=3 * GIBIBYTE // 2)),
    "a name of 1.5 GiB": tar_bytes(header(kind=tarfile.GNUTYPE_LONGNAME, size_bytes=3 * GIBIBYTE // 2)),
    "headers without end": tar_bytes(*[header(kind=tarfile.XGLTYPE)] * 3000),
    "a sparse file": tar_bytes(header(kind=tarfile.GNUTYPE_SPARSE)),
    "a sparse file by PAX": tar_bytes(pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})),
    "a size below zero": tar_bytes(pax(size="-4096"), header()),
    "a name with NUL": tar_bytes(pax(path="a\0b")),
    "a deep path": tar_bytes(header(), pax(path="/".join(["a"] * 65))),
    "a long path": tar_bytes(header(), pax(path="/".join(["a" * 200] * 21))),
    "a large file": tar_bytes(header(size_bytes=2 * GIBIBYTE)),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_hostile_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(zstandard.compress(HOSTILE[name]))
    with pytest.raises(Corrupt, match="Snapshot archive cannot be unpacked"):
        snapshot.unpack(archive, tmp_path / "work")
    archive.write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointCorrupt, match="its archive cannot be unpacked"):
        checkpoint_files.unpack_files(archive, tmp_path / "files")


def test_an_archive_of_more_members_than_allowed_is_neither_packed_nor_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    for number in range(9):
        path = folder / ("many" if number else "few") / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with snapshot.pack(folder).file as file:
        (tmp_path / "snapshot").write_bytes(file.read())
    checkpoint_files.pack_files(folder, tmp_path / "files")
    for module in (tar_members, snapshot, checkpoint_files):
        monkeypatch.setattr(module, "MAXIMUM_MEMBERS", 8)
    with pytest.raises(
        TooLarge, match=r"has 9 files; 8 are allowed. Most are in: many \(8\), few \(1\). Name unneeded"
    ):
        snapshot.pack(folder)
    with pytest.raises(TooLarge, match="has 9 files; a checkpoint may have at most 8"):
        checkpoint_files.pack_files(folder, tmp_path / "again")
    with pytest.raises(Corrupt, match="it has more than 8 members"):
        snapshot.unpack(tmp_path / "snapshot", tmp_path / "work")
    with pytest.raises(CheckpointCorrupt, match="it has more than 8 members"):
        checkpoint_files.unpack_files(tmp_path / "files", tmp_path / "checkpoint")


def test_a_path_that_could_not_be_unpacked_is_not_packed(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a"] * 70)
    folder.mkdir(parents=True)
    (folder / "x").touch()
    with pytest.raises(InvalidInput, match=r"is more than 64 folders deep. Name it in .headwayignore"):
        snapshot.pack(tmp_path)
    with pytest.raises(TooLarge, match="is more than 64 folders deep"):
        checkpoint_files.pack_files(tmp_path, tmp_path / "archive")


def test_a_backup_with_compressed_objects_or_a_huge_manifest_is_refused(tmp_path: Path) -> None:
    for name, kind in (("objects/x", "compressed objects"), ("manifest.json", "a manifest of more than")):
        path = tmp_path / kind
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", "{}")
            if name != "manifest.json":
                archive.writestr(name, b"x", zipfile.ZIP_DEFLATED)
            else:
                archive.getinfo("manifest.json").file_size = 2 * GIBIBYTE
        with pytest.raises(Corrupt, match=kind):
            check_backup(path)


def test_reports_are_not_merged_into_a_chunk_that_could_not_be_read() -> None:
    report = Report("j-1", 1, "w-1", 1, 1, logs=encode_logs(1, [LogLine(0, 1.0, "x" * 1000)]))
    bomb = Report("j-1", 1, "w-1", 2, 2, logs=zeros(65 << 20, stated=True))
    with pytest.raises(Corrupt):
        merge_reports([report, bomb])


_BOMBS = {
    "a report section": "headway.formats.reports.decode_logs(pathlib.Path(path).read_bytes())",
    "a snapshot's header": "headway.formats.snapshot.unpack(pathlib.Path(path), pathlib.Path(path + '.work'))",
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space")
@pytest.mark.parametrize("name", _BOMBS)
def test_a_bomb_takes_no_memory(tmp_path: Path, name: str) -> None:
    """Given 1.4 GiB of zeros in some 45 kB, as a section and as a tar header's content."""
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    content = io.BytesIO()
    begin = b"" if name == "a report section" else header(kind=tarfile.XHDTYPE, size_bytes=3 * GIBIBYTE // 2)
    content.write(packer.compress(begin))
    for _ in range(1400):
        content.write(packer.compress(bytes(1 << 20)))
    content.write(packer.flush())
    path = tmp_path / "bomb"
    path.write_bytes(content.getvalue())
    assert path.stat().st_size < 64 << 10
    program = (
        "import headway.errors, headway.formats.reports, headway.formats.snapshot\n"
        "import pathlib, resource, sys\npath = sys.argv[1]\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY}))\n"
        f"try:\n    {_BOMBS[name]}\nexcept headway.errors.Corrupt as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert "cannot be" in done.stdout, done.stderr
