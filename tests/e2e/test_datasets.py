"""A user's own datasets, from file to prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headway.client import Client
from tests.e2e.own_work import EXAMPLES
from tests.fleet import Fleet


def test_a_dataset_of_ones_own_from_file_to_prediction(shared_fleet: Fleet, client: Client, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 2
    images = (generator.random((600, 16, 16)) * 50 + labels[:, None, None] * 150).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    np.save(tmp_path / "samples.npy", images[:4])
    added = shared_fleet.command("datasets", "add", "mine", str(tmp_path / "mine.npz"))
    assert "480 training and 120 test samples, 2 classes" in added.stdout, added.stderr
    again = shared_fleet.command("datasets", "add", "mine", str(tmp_path / "mine.npz"), "--json")
    assert json.loads(again.stdout)["name"] == "mine"
    assert "mine" in shared_fleet.command("datasets").stdout
    shown = " ".join(shared_fleet.command("datasets", "show", "mine").stdout.split())
    for words in ("Sample 16 x 16 uint8", "Classes 2", "Source mine.npz", "by the owner of", "train 480 123 kB"):
        assert words in shown
    assert json.loads(shared_fleet.command("datasets", "show", "mine", "--json").stdout)["classes"] == 2
    job = client.train("cnn", dataset="mine", epochs=3, name="own-data").wait()
    assert job.result["test"]["accuracy"] > 0.95
    predicted = shared_fleet.command("predict", "own-data", str(tmp_path / "samples.npy"), "--json")
    assert [one["class"] for one in json.loads(predicted.stdout)] == [0, 1, 0, 1]
    wrong = shared_fleet.command("predict", "own-data", str(tmp_path / "mine.npz"))
    assert wrong.returncode == 0  # its images have the model's shape
    np.save(tmp_path / "wrong.npy", images[:, :8])
    refused = shared_fleet.command("predict", "own-data", str(tmp_path / "wrong.npy"))
    assert (refused.returncode, "the model takes samples of (16, 16)" in refused.stderr) == (2, True)
    typed = {"_HEADWAY_COMPLETE": "bash_complete", "COMP_WORDS": "headway datasets delete mi", "COMP_CWORD": "3"}
    assert "plain,mine" in shared_fleet.command(**typed).stdout.splitlines()
    deleted = shared_fleet.command("datasets", "delete", "mine", "--json")
    assert json.loads(deleted.stdout) == {"deleted": "mine"}
    assert shared_fleet.command("predict", "own-data", str(tmp_path / "samples.npy")).returncode == 0, "models stay"
    gone = shared_fleet.command("datasets", "show", "mine")
    assert (gone.returncode != 0, "Dataset mine is not registered" in gone.stderr) == (True, True)


def test_mnist_is_fetched_from_a_mirror_where_there_is_no_checkout(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server without MNIST, when a job needs it, then the client fetches and verifies it, and the job runs."""
    import functools
    import http.server
    import shutil
    import threading

    mirror = tmp_path / "mirror"
    shutil.copytree(EXAMPLES / "data" / "mnist", mirror)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        good = f"http://127.0.0.1:{server.server_address[1]}"
        empty = tmp_path / "empty"
        empty.mkdir()
        fleet.settings["HEADWAY_DATASET_DIRECTORIES"] = str(empty)
        fleet.start_server()
        (mirror / "broken").mkdir()
        for path in mirror.glob("*.gz"):
            (mirror / "broken" / path.name).write_bytes(path.read_bytes()[:-100])
        with fleet.client() as client:
            monkeypatch.setenv("HEADWAY_DATASET_MIRRORS", f"{good}/nowhere,{good}/broken")
            with pytest.raises(Exception, match="Dataset mnist could not be fetched") as refused:
                client.train("cnn", dataset="mnist")
            assert "404" in str(refused.value)
            monkeypatch.setenv("HEADWAY_DATASET_MIRRORS", f"{good}/nowhere,{good}")
            assert client.train("cnn", dataset="mnist").status == "queued"
            assert client.datasets()[0]["splits"]["train"]["sample_count"] == 60_000
        server.shutdown()
