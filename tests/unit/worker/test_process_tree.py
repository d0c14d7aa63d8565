"""Ending a process and all below it."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from headway.worker.process_tree import end_tree

pytestmark = pytest.mark.anyio


def test_a_stopped_process_and_all_below_it_are_ended() -> None:
    """Including stopped processes, and processes in their own session."""
    source = (
        "import os, signal, subprocess, sys, time\n"
        "children = [subprocess.Popen(['sleep', '600'], start_new_session=new) for new in (False, True)]\n"
        "os.kill(children[0].pid, signal.SIGSTOP)\n"
        "print('ready', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
        assert len(family) == 3
        assert end_tree(root)
        assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
