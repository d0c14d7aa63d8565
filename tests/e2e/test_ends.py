"""How ranks end: by request, on their own, and with forked processes."""

from __future__ import annotations

from pathlib import Path

from headway.client import JobHandle
from tests.fleet import Fleet, ended, wait_until


def texts(job: JobHandle, rank: int = 0) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


def test_a_script_that_exits_with_0_when_it_is_asked_to_end_is_not_finished(shared_fleet: Fleet) -> None:
    """Given a script and a command that save at SIGTERM and exit with 0, then pause, resume and cancel work."""
    source = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(0)))
if os.environ["RANK"] == "0": print("ready", flush=True)
else: sys.exit()
time.sleep(600)
"""
    job = shared_fleet.script(source, world_size=2)
    shell = "trap 'echo saved; exit 0' TERM; echo ready; sleep 600 & wait"
    with shared_fleet.client() as client:
        command = client.submit({"command": ["sh", "-c", shell]})
        for one in (job, command):
            wait_until(lambda one=one: texts(one), "the start")
            one.pause()
        for one in (job, command):
            wait_until(lambda one=one: one.refresh().status == "queued", "the pause")
            assert one.data["hold"]
            assert texts(one) == ["ready", "saved"]
            assert one.attempts()[0]["reason"] == "paused"
            one.cancel()
            assert ended(one).status == "cancelled"


def test_a_script_that_called_finish_counts_as_finished(shared_fleet: Fleet) -> None:
    source = """
import headway, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
headway.run().finish(accuracy=0.5)
print("ready", flush=True)
time.sleep(600)
"""
    job = shared_fleet.script(source, world_size=2)
    wait_until(lambda: texts(job, 0) and texts(job, 1), "the result")
    job.cancel()
    assert (ended(job).status, job.data["result"]) == ("succeeded", {"accuracy": 0.5})


def test_the_end_of_a_fork_is_not_the_end_of_the_rank(shared_fleet: Fleet) -> None:
    """Given forks of rank 0 that return, exit and raise, when rank 1 raises, then only that is the job's failure."""
    source = """
import os, time, headway
if os.environ["RANK"] == "0":
    if os.fork() == 0: raise ValueError("in a fork")
    if os.fork() == 0: os._exit(3)
    if os.fork(): time.sleep(0.5)
    else: headway.run().log(1, loss=0.5)
else:
    time.sleep(2)
    raise RuntimeError("rank 1 is not done")
"""
    job = ended(shared_fleet.script(source, world_size=2))
    assert (job.status, job.data["reason"]) == ("failed", "script_raised")
    assert "Rank 1 raised RuntimeError: rank 1 is not done" in job.data["sentence"]
    assert "ValueError: in a fork" in texts(job)


def test_a_warm_rank_writes_the_same_files_as_plain_python(shared_fleet: Fleet, tmp_path: Path) -> None:
    source = """
import csv, logging, logging.handlers, multiprocessing, os, time, weakref
import torch.distributed as dist
from torch.utils.tensorboard import SummaryWriter
out = os.environ["HEADWAY_OUTPUT_DIRECTORY"] + "/"
history = csv.writer(open(out + "history.csv", "w"))
def write(epoch): history.writerow([epoch])
def child(path): time.sleep(0.3); open(path, "w").write("done")
class Kept:
    def __del__(self): open(out + "destroyed.txt", "w").write("yes")
if __name__ == "__main__":
    handler = logging.handlers.MemoryHandler(100, target=logging.FileHandler(out + "buffered.log"))
    logging.getLogger("x").addHandler(handler)
    logging.getLogger("x").warning("one record")
    kept = Kept(); kept.me = kept
    weakref.finalize(kept, lambda: open(out + "finalized.txt", "w").write("yes"))
    writer = SummaryWriter(out + "runs"); writer.add_scalar("loss", 0.5, 1)
    write(1)
    dist.init_process_group("gloo")
    multiprocessing.get_context("fork").Process(target=child, args=(out + "child.txt",)).start()
"""
    job = ended(shared_fleet.script(source))
    assert (job.status, job.data["warnings"]) == ("succeeded", [])
    left = {path.name: path.read_text(errors="replace") for path in job.download(folder=tmp_path)}
    (events,) = (text for name, text in left.items() if name.startswith("events.out"))
    assert "loss" in events
    assert {name: text for name, text in left.items() if not name.startswith("events.out")} == {
        "history.csv": "1\n", "buffered.log": "one record\n", "destroyed.txt": "yes", "finalized.txt": "yes",
        "child.txt": "done",
    }  # fmt: skip


def test_a_progress_bar_is_shown_while_it_moves(shared_fleet: Fleet) -> None:
    """Given a progress bar without a line end, when the log is read and followed, then it shows the bar once."""
    source = """
import sys, time, os
for number in range(10_000):
    print(f"\\r{number:6} of 10000", end="", flush=True)
    time.sleep(0.02)
    if os.path.exists("end"): break
print()
"""
    job = shared_fleet.script(source)
    first = wait_until(lambda: texts(job), "the bar")
    wait_until(lambda: texts(job) != first, "the bar's next drawing")
    assert len(texts(job)) == 1
    printed = shared_fleet.command("logs", job.name).stdout
    assert printed.endswith(" of 10000\n")
    assert printed.count("of 10000") == 1
    job.execute(["touch", "end"])
    assert ended(job).status == "succeeded"
    (line,) = job.logs()
    assert (line["partial"], line["text"].endswith(" of 10000")) == (False, True)


def test_an_exit_handler_that_the_time_limit_cuts_off_is_a_warning(shared_fleet: Fleet) -> None:
    """Given a script that is done, when the time limit ends its exit handler, then the job succeeds with a warning."""
    source = "import atexit, time\natexit.register(time.sleep, 600)\nprint('trained')"
    job = ended(shared_fleet.script(source, timeout_seconds=3))
    assert job.status == "succeeded"
    assert job.data["warnings"] == [
        "Rank 0 had finished, but its process was ended before its exit handlers had finished, because the job's time "
        "limit had passed. Files that they write may be missing."
    ]
