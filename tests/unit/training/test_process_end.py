"""A rank's process ends like plain Python: it leaves the same files and prints the same output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headway.rank_protocol import rank_variables
from headway.rank_protocol.paths import going_mark, run_file
from headway.rank_protocol.version import version_variables

SCRIPTS = {
    "files that were never closed": """
import csv
csv.writer(open("history.csv", "w")).writerow([1, 2])
def log(line, file=open("log.txt", "a")): file.write(line)
log("one line")
""",
    "files in packed files": """
import gzip, io, zipfile, bz2
packed = io.TextIOWrapper(gzip.GzipFile("packed.gz", "w", mtime=0)); packed.write("x" * 100)
outer = bz2.BZ2File("packed.bz2", "w"); outer.write(b"y" * 100)
archive = zipfile.ZipFile("archive.zip", "w"); archive.writestr(zipfile.ZipInfo("one.txt"), "text")
def keep(): return packed, archive, outer
""",
    "a file that a library holds": """
import json, gzip
json.kept = gzip.GzipFile("packed.gz", "w", mtime=0); json.kept.write(b"text")
""",
    "buffered log records": """
import logging, logging.handlers
handler = logging.handlers.MemoryHandler(100, target=logging.FileHandler("records.log"))
logging.getLogger("x").addHandler(handler)
logging.getLogger("x").warning("one record")
""",
    "exit handlers, in their order": """
import atexit, logging, weakref, tempfile, os, sys, threading, time
class Thing: pass
def say(*words): print(*words, flush=True)
atexit.register(say, "registered first")
thing = Thing()
weakref.finalize(thing, say, "finalized")
atexit.register(say, "registered last")
folder = tempfile.TemporaryDirectory(dir=".")
open(os.path.join(folder.name, "x"), "w").write("x")
threading.Thread(target=lambda: (time.sleep(0.2), say("a thread's end"))).start()
say("the script's end")
""",
    "what objects do when they are destroyed": """
class Kept:
    def __init__(self, name): self.name = name; self.me = self
    def __del__(self): print("destroyed", self.name, flush=True)
kept = Kept("a global")
cycle = Kept("a cycle"); cycle.function = lambda: kept
import signal
signal.signal(signal.SIGTERM, lambda *_: kept)
import mine
mine.kept = Kept("of a module")
""",
    "children that are joined": """
import multiprocessing, time
def work(path): time.sleep(0.3); open(path, "w").write("done")
if __name__ == "__main__":
    multiprocessing.get_context("fork").Process(target=work, args=("fork.txt",)).start()
    multiprocessing.get_context("spawn").Process(target=work, args=("spawn.txt",)).start()
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True).start()
""",
    "a queue that is still written": """
import multiprocessing, threading
def read(queue): open("queue.txt", "w").write(str(sum(len(queue.get()) for _ in range(20))))
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    context.Process(target=read, args=(queue,)).start()
    for _ in range(20): queue.put(b"x" * 100_000)
""",
    "a pool of threads that is not through": """
import concurrent.futures, time, pickle
class Mine: pass
def work(number): time.sleep(0.2); open(f"{number}.txt", "w").write(str(len(pickle.dumps(Mine()))))
pool = concurrent.futures.ThreadPoolExecutor(2)
for number in range(4): pool.submit(work, number)
""",
    "output of C": """
import ctypes
ctypes.CDLL(None).puts(b"from C")
""",
    "another standard output": """
import sys
class Tee:
    def __init__(self, file): self.file = file
    def write(self, text): self.file.write(text)
    def flush(self): pass
sys.stdout = Tee(open("tee.txt", "w"))
print("told")
""",
    "a daemon thread that goes on": """
import threading, time
state = {"x": 1}
def work():
    while True: state["x"] += 1; time.sleep(0.0001)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
""",
    "an exception": """
import atexit
open("left.txt", "w").write("left")
kept = open("kept.txt", "w"); kept.write("kept")
atexit.register(print, "handler")
raise RuntimeError("no")
""",
    "an exit code": "import sys, atexit; atexit.register(print, 'handler'); sys.exit(3)",
    "an exit handler that raises": """
import atexit
atexit.register(open("kept.txt", "w").write, "kept")
atexit.register(lambda: 1 / 0)
""",
    "a signal's handler that exits while threads are waited for": """
import atexit, os, signal, sys, threading, time
atexit.register(lambda: open("kept.txt", "w").write("kept"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threading.Thread(target=lambda: (time.sleep(0.3), os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.3))).start()
""",
    "forks that return": """
import os, time
kept = open(f"before.txt", "w")
if os.fork() == 0:
    child = open("child.txt", "w"); child.write("child")
else:
    os.wait(); parent = open("parent.txt", "w"); parent.write("parent")
""",
    "a fork that raises": """
import os
if os.fork() == 0: raise RuntimeError("in the child")
print("status", os.waitstatus_to_exitcode(os.wait()[1]))
""",
}


def left_by(folder: Path, script: str, *how: str) -> tuple[int, str, dict[str, bytes]]:
    """Exit status, output and files of a script run in an empty folder."""
    work = folder / "work"
    work.mkdir(parents=True)
    (work / "script.py").write_text(script)
    (work / "mine.py").write_text("")
    going_mark(folder).touch()
    told = {rank_variables.RUN_FILE: str(run_file(folder, 0)), **version_variables()}
    variables = {**os.environ, **told, "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, *how, "script.py"], cwd=work, env=variables, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    files = {path.name: path.read_bytes() for path in work.rglob("*") if path.suffix != ".py" and path.is_file()}
    return ran.returncode, ran.stdout, files


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_rank_ends_as_plain_python(tmp_path: Path, kind: str) -> None:
    plain = left_by(tmp_path / "plain", SCRIPTS[kind])
    assert left_by(tmp_path / "rank", SCRIPTS[kind], "-P", "-m", "headway.training.rank", "script") == plain
    records = run_file(tmp_path / "rank", 0)
    types = [json.loads(line)["type"] for line in records.read_text().splitlines()] if records.exists() else []
    expected = {0: ["rank_finished"], 1: ["rank_error"], 3: []}
    assert types == expected[plain[0]], "only the rank's own process finishes or fails, once"
