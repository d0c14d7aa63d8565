"""Folders nested deeper than the standard library can walk."""

from __future__ import annotations

import os
from pathlib import Path

from headway.folders import remove, walk
from headway.private_files import close
from headway.rank_protocol.checkpoint_files import pack_files, signature
from headway.worker.event_files import find_event_files
from headway.worker.outputs import find_outputs


def test_a_very_deep_folder_is_walked_and_removed(tmp_path: Path) -> None:
    """Given 1,100 nested folders with a file in the last, every search for files finds it."""
    output = tmp_path / "output"
    deep = output
    output.mkdir()
    for _ in range(1_100):
        deep /= "d"
        deep.mkdir()
        deep.chmod(0o755)
    (deep / "events.out.tfevents.1").write_text("x")
    try:
        assert len(list(find_event_files(output))) == 1
        assert len(find_outputs(output, tmp_path / "work", (), (), 0).files) == 1
        assert len(signature(output)) == 1
        output.chmod(0o755)
        close(output)
        assert deep.stat().st_mode & 0o077 == 0
    finally:
        remove(output)
    assert not output.exists()


def test_links_are_not_followed_nor_their_targets_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("../kept")
    (tmp_path / "folder" / "read-only").mkdir()
    os.chmod(tmp_path / "folder" / "read-only", 0o500)
    assert [(folders, names) for _, folders, names in walk(tmp_path / "folder")] == [
        (["read-only"], ["link"]),
        ([], []),
    ]
    assert pack_files(tmp_path / "folder", tmp_path / "archive") == ("link",)
    remove(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    (tmp_path / "itself").symlink_to("kept")
    remove(tmp_path / "itself")
    assert not (tmp_path / "itself").is_symlink()
    assert (tmp_path / "kept" / "file").exists()
