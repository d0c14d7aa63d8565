"""The SDK in a real kernel, and what a notebook shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from tests.fleet import Fleet

_FOLLOW = """
from headway import Client

def train(steps, rate=0.1):
    import headway, time
    for step in range(1, steps + 1):
        print("step", step, flush=True)
        headway.run().log(step, loss=rate / step)
        time.sleep(0.01)
    return steps

client = Client()
job = client.run(train, 40, rate=0.5)
job.wait()
"""
_PLOT = """
import matplotlib
matplotlib.use("agg")
import pandas
frame = pandas.DataFrame(job.metrics())
axes = frame.plot()
print(len(frame), len(axes.lines), job.value)
"""


def run_cells(fleet: Fleet, folder: Path, *sources: str) -> list[list[dict[str, Any]]]:
    """The outputs of each cell. The kernel's client runs in its own process, because it leaves sockets open."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    path = folder / "notebook.ipynb"
    nbformat.write(notebook, path)
    folders = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
    environment = {
        **os.environ,
        **{name: str(folder / name) for name in folders},
        "HEADWAY_HOME": str(fleet.home),
        "HEADWAY_SERVER_URL": fleet.url,
    }
    execute = [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", "--allow-errors", str(path)]
    ran = subprocess.run(execute, env=environment, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    return [cell.outputs for cell in nbformat.read(path, 4).cells]


def test_a_job_is_followed_in_one_block_and_plotted(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a function with forty lines of output, when a notebook waits for it, then there is one block of HTML."""
    followed, plotted, listed = run_cells(shared_fleet, tmp_path, _FOLLOW, _PLOT, "client.jobs(limit=1)")
    text = "".join(output["text"] for output in followed if output["output_type"] == "stream")
    assert [line for line in text.splitlines() if line.startswith("step")] == [f"step {step}" for step in range(1, 41)]
    shown = [output for output in followed if output["output_type"] == "display_data"]
    assert len(shown) == 1
    assert "<b>succeeded</b>" in shown[0]["data"]["text/html"]
    (result,) = [output for output in followed if output["output_type"] == "execute_result"]
    assert result["data"]["text/html"].endswith("<b>succeeded</b>. All ranks finished.")
    assert "40 1 40\n" in "".join(output.get("text", "") for output in plotted)
    assert "<table>" in listed[-1]["data"]["text/html"]


def test_an_error_has_a_short_traceback(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given an unknown job, when a cell asks for it, then the traceback has only the cell and our call."""
    ((error,),) = run_cells(shared_fleet, tmp_path, "from headway import Client\nClient().job('no-such-job')")
    assert error["ename"] == "NotFound"
    assert "Job no-such-job does not exist." in error["evalue"]
    trace = "\n".join(error["traceback"])
    assert "httpx" not in trace
    assert trace.count("File ") + trace.count("Cell ") <= 3
