"""Scripts and files that misbehave: each ends with a clear cause, nothing is lost, and nothing is left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import psutil
import pytest
import zstandard

from headway.client import Client, JobHandle
from headway.errors import InvalidInput, NameTaken, NotFound
from tests.fleet import Fleet, ended, wait_until
from tests.small_disk import small_disk

DURABLE = "import headway, os, sys, time\nprint('begun', flush=True)\n"


@pytest.fixture
def client(shared_fleet: Fleet) -> Iterator[Client]:
    with shared_fleet.client() as client:
        yield client


def texts(job: JobHandle) -> list[str]:
    return [line["text"] for line in job.logs()]


def test_errors_for_unknown_names_list_the_known_ones(client: Client) -> None:
    with pytest.raises(InvalidInput, match=r"cnx does not exist. Did you mean cnn\? There are: mlp, lstm, cnn."):
        client.train("cnx", dataset="digits")
    with pytest.raises(InvalidInput, match=r"has no parameter epoch\. Did you mean epochs\? It has: batch_size"):
        client.train("cnn", dataset="digits", epoch=3)
    with pytest.raises(InvalidInput, match=r"Dataset cifar does not exist. There are: digits, "):
        client.train("cnn", dataset="cifar")
    with pytest.raises(InvalidInput, match="Parameter epochs of trainer cnn: 0 is too small; give a number"):
        client.train("cnn", dataset="digits", epochs=0)
    with pytest.raises(InvalidInput, match="world_size: 20000 is too large; give a number from 1 to 10,000"):
        client.train("cnn", dataset="digits", world_size=20_000)
    with pytest.raises(NotFound, match=r"Script nope.py does not exist."):
        client.run_script("nope.py")
    with pytest.raises(NotFound, match="Job nope does not exist"):
        client.job("nope")


def test_a_name_is_taken_once(client: Client) -> None:
    client.submit({"script": "a.py", "source": "", "name": "taken"})
    with pytest.raises(NameTaken, match=r"Job taken exists already. Choose another name."):
        client.submit({"script": "a.py", "source": "", "name": "taken"})


def test_a_dataset_that_is_too_small_is_the_users_to_fix(client: Client) -> None:
    job = ended(client.train("mlp", dataset="digits", dataset_size=5000))
    assert (job.status, job.data["blame"]) == ("failed", "user")
    assert "dataset_size is 5000; 1294 training samples are left beside 144 for validation" in job.data["sentence"]


@pytest.mark.parametrize(
    ("ending", "reason", "sentence"),
    [
        ("raise RuntimeError('no luck')", "script_raised", "Rank 0 raised RuntimeError: no luck."),
        ("sys.exit(3)", "script_exited", "Rank 0 exited with code 3."),
        ("sys.exit('a sentence')", "script_exited", "Rank 0 exited with code 1."),
        ("import ctypes; ctypes.string_at(0)", "rank_crashed", "Rank 0 crashed with SIGSEGV."),
        ("os.abort()", "rank_crashed", "Rank 0 crashed with SIGABRT."),
        ("raise MemoryError()", "out_of_memory", "Rank 0 ran out of memory: MemoryError."),
        ("import torch\nraise torch.cuda.OutOfMemoryError('all used')", "out_of_memory", "OutOfMemoryError: all used."),
    ],
)
def test_scripts_that_end_badly(shared_fleet: Fleet, ending: str, reason: str, sentence: str) -> None:
    job = ended(shared_fleet.script(DURABLE + ending))
    assert (job.status, job.data["reason"], job.data["retries_used"]) == ("failed", reason, 0)
    assert sentence in job.data["sentence"]
    assert texts(job)[0] == "begun"


def test_a_rank_over_its_memory_limit_is_ended_before_the_machine_suffers(shared_fleet: Fleet) -> None:
    source = DURABLE + "kept = []\nwhile True: kept.append(bytearray(b'1' * 20_000_000)); time.sleep(0.02)"
    job = ended(shared_fleet.script(source, memory_bytes=800 << 20))
    assert (job.data["reason"], job.data["blame"], job.data["retries_used"]) == ("out_of_memory", "user", 0)
    assert "Rank 0 ran out of memory: each rank may use 838,860,800 bytes (--memory)." in job.data["sentence"]
    failure = job.data["attempt"]["failure"]
    held = [resident_bytes for _, resident_bytes in failure["memory_curve"]]
    assert held[-1] == max(held) > 700 << 20, "the curve ends with the peak"
    assert failure["worker_load"]["memory_bytes"] > 1 << 30
    shown = shared_fleet.command("show", job.name).stdout
    assert "Its memory: " in shown
    assert "Not retried, because the error is in the job." in shown
    modest = ended(shared_fleet.script(DURABLE, memory_bytes=4 << 30))
    assert modest.status == "succeeded"


def test_a_hundred_megabytes_of_output_are_cut_with_a_notice(shared_fleet: Fleet) -> None:
    source = "line = 'x' * 1023\nfor _ in range(100 * 1024): print(line)\nprint('the end')"
    job = ended(shared_fleet.script(source))
    assert job.status == "succeeded"
    found = texts(job)
    kept_bytes = sum(len(text) + 1 for text in found)
    assert 64 << 20 <= kept_bytes < 66 << 20
    assert found[-1].startswith(
        "headway: only 67,108,864 bytes of output are kept (HEADWAY_MAXIMUM_LOG_BYTES); the rest of this rank"
    )


def test_output_that_is_not_text(shared_fleet: Fleet) -> None:
    source = r"""
import sys
out = sys.stdout.buffer
out.write(b"caf\xe9 \xff\xfe\n"); out.write("ünïcode ✓\n".encode()); out.write(b"nul \x00 byte\n")
out.write(b"10%\r50%\r100%\n"); out.write(b"no end of line"); out.flush()
"""
    job = ended(shared_fleet.script(source))
    assert texts(job) == ["caf\ufffd \ufffd\ufffd", "ünïcode ✓", "nul \x00 byte", "100%", "no end of line"]


def test_a_script_that_never_ends_ends_at_its_time_limit(shared_fleet: Fleet) -> None:
    source = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    job = ended(shared_fleet.script(source, timeout_seconds=1, retries=3))
    assert (job.status, job.data["reason"]) == ("failed", "timed_out")
    assert "The job's time limit passed. Submit it again with a larger --timeout." in job.data["sentence"]


def test_children_that_outlive_their_rank_are_ended(shared_fleet: Fleet) -> None:
    seconds = f"987.{os.getpid()}"  # identifies these processes, even if other tests run the same
    source = f"""
import subprocess
children = [subprocess.Popen(["sleep", "{seconds}"], start_new_session=new) for new in (False, True)]
subprocess.run("nohup setsid sleep {seconds} >/dev/null 2>&1 &", shell=True)
import time; time.sleep(0.3)
"""
    job = ended(shared_fleet.script(source))
    assert job.status == "succeeded"
    left = [one.pid for one in psutil.process_iter() if seconds in _command_line(one)]
    assert left == []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize(
    "source",
    [
        "import os, sys\nprint('begun', flush=True)\nos.close(1); os.close(2)\nsys.exit(0)",
        "import sys\nprint('begun', flush=True)\nsys.stdout.close(); sys.stderr.close()",
        "import sys\nprint('begun', flush=True)\nsys.stdout = sys.stderr = None",
        "import os\nprint('begun', flush=True)\nos.chdir('/'); import json",
        "import os, shutil\nprint('begun', flush=True)\nshutil.rmtree(os.getcwd())",
        "import os\nprint('begun', flush=True)\nos.environ.clear()",
        "import threading, time\nprint('begun', flush=True)\nthreading.Thread(target=time.sleep, args=(0.2,)).start()",
        "import os\nprint('begun', flush=True)\nos.closerange(0, 200)",
    ],
)
def test_scripts_that_destroy_their_own_surroundings(shared_fleet: Fleet, source: str) -> None:
    job = ended(shared_fleet.script(source, outputs=["*.csv"]))
    assert job.status == "succeeded", job.data["sentence"]
    assert texts(job) == ["begun"]


def test_a_script_that_raises_after_closing_its_output_reports_its_cause(shared_fleet: Fleet) -> None:
    job = ended(shared_fleet.script("import sys\nsys.stdout.close(); sys.stderr.close()\nraise ValueError('unseen')"))
    assert "Rank 0 raised ValueError: unseen." in job.data["sentence"]


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [("../escaped", tarfile.REGTYPE, ""), ("/tmp/escaped", tarfile.REGTYPE, ""), ("escaped", tarfile.SYMTYPE, "/etc")],
)
def test_a_snapshot_made_to_do_harm_is_refused_by_the_worker(
    shared_fleet: Fleet, client: Client, name: str, kind: bytes, link: str
) -> None:
    """Given a malicious archive, sent by hand, when a worker unpacks it, then nothing is written outside its folder."""
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(entry, BytesIO(b"evil"))
    archive = zstandard.ZstdCompressor().compress(content.getvalue())
    sha256 = hashlib.sha256(archive).hexdigest()
    client._connection.request("PUT", f"/snapshots/{sha256}", content=archive)
    job = ended(client.submit({"command": ["ls"], "snapshot": sha256}))
    if name.startswith("/"):
        assert not Path(name).exists()  # it counts as a path inside the folder, as in tar
        return
    assert (job.status, job.data["reason"], job.data["blame"]) == ("failed", "input_unusable", "user")
    assert "cannot be unpacked" in job.data["sentence"]
    assert len(job.attempts()) == 1


def test_a_damaged_block_is_never_trained_on(fleet: Fleet) -> None:
    """Given a block whose bytes changed in the store, when a worker fetches it, then the job fails and names it."""
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    with fleet.client() as client:
        job = client.submit({"trainer": "mlp", "dataset": "digits", "world_size": 2, "retries": 0})  # registers it
        (block, *_) = (path for path in (fleet.home / "objects" / "blocks").rglob("*") if path.is_file())
        content = bytearray(block.read_bytes())
        content[len(content) // 2] ^= 0xFF
        block.write_bytes(content)
        job.cancel()
        failed = ended(client.submit({"trainer": "mlp", "dataset": "digits", "retries": 0}))
        assert (failed.status, failed.data["reason"]) == ("failed", "prepare_failed")
        assert "does not match its hash" in failed.data["sentence"]


def test_a_worker_with_a_full_disk_waits_and_loses_nothing(fleet: Fleet, tmp_path: Path) -> None:
    """Given a worker whose disk is full, when a rank prints, then nothing is lost, and it continues when there is
    space.
    """
    with small_disk(tmp_path / "small") as disk:
        fleet.start_server()
        token = str(fleet.home / "worker.token")
        fleet._start(
            "one", "worker", "--server", fleet.url, "--token-file", token, "--slots", "1", "--home", str(disk / "home")
        )
        fleet.wait_for_workers(1)
        source = DURABLE + "for n in range(40):\n    print('line', n, flush=True)\n    time.sleep(0.1)\n"
        job = fleet.script(source)
        wait_until(lambda: "begun" in texts(job), "the first line")
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        wait_until(lambda: "wait for the disk" in fleet.log("one"), "the worker's message about its disk")
        filler.unlink()
        assert ended(job).status == "succeeded"
        said = [text for text in texts(job) if text.startswith("line")]
        assert said[-1] == "line 39"
        assert len(said) == len(set(said))
        for process in fleet.processes.values():
            process.kill()
            process.wait()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "headway", "up", "--port", port, "--home", str(tmp_path / "home")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert f"Cannot listen on port {port} of 127.0.0.1: Address already in use." in ran.stderr


def test_stopping_with_ctrl_c_detaches_and_says_how_to_come_back(shared_fleet: Fleet) -> None:
    import signal

    environment = {**os.environ, "HEADWAY_HOME": str(shared_fleet.home), "HEADWAY_SERVER_URL": shared_fleet.url}
    job = shared_fleet.script("import time\nfor n in range(600): print(n, flush=True); time.sleep(0.1)", name="goes-on")
    with subprocess.Popen(
        [sys.executable, "-m", "headway", "follow", "goes-on"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # as a terminal starts it
    ) as follower:  # fmt: skip
        assert follower.stdout is not None
        while "0" not in follower.stdout.readline():
            pass
        time.sleep(0.2)
        follower.send_signal(signal.SIGINT)
        rest = follower.stdout.read()
    assert follower.returncode == 0
    assert "Detached; the job continues. Come back: headway follow goes-on. End it: headway cancel goes-on" in rest
    assert job.refresh().status == "running"
    job.cancel(kill=True)
    ended(job)
