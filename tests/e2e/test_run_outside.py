"""The same scripts outside Headway."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import headway
from tests.e2e.checkpointed import COUNTS


def test_the_same_script_saves_and_restores_outside_headway(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(COUNTS.replace("WHAT", 'if state["step"] == 25 and not os.environ.get("AGAIN"): sys.exit(1)'))
    for variables, words in (({}, "from 0 "), ({"AGAIN": "1"}, "from 20 ")):
        ran = subprocess.run(
            [sys.executable, str(script)], env={"PATH": "", **variables}, cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert words in ran.stdout, ran.stderr


def test_restarted_ranks_continue_outside_headway_too(tmp_path: Path) -> None:
    """Given the drill's training under torchrun, whose rank 1 has rank 0's state, a second start changes no weight.

    Each start is a new torchrun: torchrun's own restart of ranks does not always work.
    """
    script = Path(headway.__file__).parent / "drill" / "training.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--redirects=3"]
    weights, first_steps = [], []
    for folder, troubles in (("alone", [""]), ("killed", ["SIGKILL", ""])):
        (tmp_path / folder).mkdir()
        for number, trouble in enumerate(troubles):
            ran = subprocess.run(
                [*torchrun, f"--log-dir={tmp_path / folder / f'logs-{number}'}", str(script)],
                cwd=tmp_path / folder, env={**os.environ, "TROUBLE": trouble, "OMP_NUM_THREADS": "1"},
                capture_output=True, check=False,
            )  # fmt: skip
            assert (ran.returncode == 0) == (not trouble), ran.stderr
        (log,) = (tmp_path / folder / f"logs-{number}").glob("*/attempt_0/0/stdout.log")
        lines = log.read_text().splitlines()
        first_steps.append(int(lines[0].removeprefix("step ")))
        weights.append(lines[-1])
    assert first_steps[0] == 1
    assert first_steps[1] in (41, 61), (
        "it continues after the newest step that both ranks had saved when one was killed"
    )
    assert weights[0] == weights[1]


def test_parts_of_the_first_format_still_load(tmp_path: Path) -> None:
    """Version 0.1 saved only the state. A job that it started continues with this version."""
    import torch

    from headway.training.run import Run

    run = Run({"HEADWAY_OUTPUT_DIRECTORY": str(tmp_path)})
    path = tmp_path / "checkpoints" / "20" / "rank-0"
    path.parent.mkdir(parents=True)
    torch.save({"step": 20, "weights": torch.ones(3)}, path)
    assert run.restore()["step"] == 20
    path.write_bytes(pickle.dumps({"step": 21}))
    assert run.restore() == {"step": 21}
