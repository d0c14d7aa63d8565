"""A script may close or replace its standard output, and saving still works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headway.rank_protocol import rank_variables
from headway.rank_protocol.paths import log_file, run_file
from headway.rank_protocol.version import version_variables

SAVE = "import headway, sys\nheadway.run().save({'step': 5}, 5)\n"
BEFORE = {
    "as it is": "",
    "closed": "import os\nos.close(1)\n",
    "another file": "import os\nos.close(1)\nfile = open('other.txt', 'w')\nfile.write('x' * 100_000)\nfile.flush()\n",
    "a pipe": "import os\nos.dup2(os.pipe()[1], 1)\n",
}


@pytest.mark.parametrize("output", BEFORE)
def test_a_save_tells_how_long_the_ranks_log_is(tmp_path: Path, output: str) -> None:
    """Given a rank that has printed, when it saves, then the worker knows how much was printed before."""
    told = {rank_variables.RUN_FILE: str(run_file(tmp_path, 0)), **version_variables()}
    with log_file(tmp_path, 0).open("w") as log:
        log.write("begun\n")
        log.flush()
        command = [sys.executable, "-c", BEFORE[output] + SAVE]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **told}, stdout=log, check=True)
    begun, saved = map(json.loads, run_file(tmp_path, 0).read_text().splitlines())
    assert (begun["type"], begun["log_bytes"]) == ("checkpoint_begun", len("begun\n"))
    assert (saved["type"], saved["step"]) == ("checkpoint_saved", 5)


def test_a_save_without_a_log_is_a_save(tmp_path: Path) -> None:
    told = {rank_variables.RUN_FILE: str(run_file(tmp_path, 0)), **version_variables()}
    subprocess.run([sys.executable, "-c", SAVE], env={**os.environ, **told}, check=True)
    (saved,) = map(json.loads, run_file(tmp_path, 0).read_text().splitlines())
    assert saved["type"] == "checkpoint_saved"
