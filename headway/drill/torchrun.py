"""The same loss of a rank under bare `torchrun --max-restarts`, which restarts the processes of all ranks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from headway.errors import Unavailable

_LONGEST_SECONDS = 60.0
_LOOK_SECONDS = 0.005
_RANKS = 2


def restart_seconds(folder: Path) -> float | None:
    """Seconds from the SIGKILL of a rank to the end of the first step of all restarted ranks.

    None if torchrun did not recover: with gloo its restarted ranks sometimes find the addresses of the former ones.
    """
    own_folder = Path(tempfile.mkdtemp(dir=folder))  # otherwise it would continue from the previous try's checkpoints
    logs = own_folder / "logs"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(_RANKS)]
    command += ["--max-restarts", "1", "--redirects", "3", "--log-dir", str(logs)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    process = subprocess.Popen(
        [*command, str(Path(__file__).with_name("training.py"))],
        cwd=own_folder,
        env={**own, "TROUBLE": "SIGKILL", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + _LONGEST_SECONDS
    try:
        while time.monotonic() < deadline:
            again = [path for path in logs.glob("*/attempt_1/*/stdout.log") if "step " in path.read_text()]
            if len(again) == _RANKS:
                return time.time() - _killed_at(logs)
            if process.poll() is not None:
                return None
            time.sleep(_LOOK_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None


def _killed_at(logs: Path) -> float:
    for path in logs.glob("*/attempt_0/*/stdout.log"):
        said = re.search(r"^killed ([0-9.]+)$", path.read_text(), re.MULTILINE)
        if said:
            return float(said[1])
    raise Unavailable("The rank to kill under torchrun did not report its kill.")
