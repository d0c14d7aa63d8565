"""Lists processes. Standard library only: a job's own environment may have nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple


class ProcessEntry(NamedTuple):
    """A process: its parent, its session, and its current memory."""

    parent: int
    session: int
    memory_bytes: int


def process_table() -> dict[int, ProcessEntry]:
    """All processes by pid; from /proc, or from ps(1) on systems without it."""
    return _from_proc() if sys.platform == "linux" else _from_ps()


def descendants(root: int) -> set[int]:
    """All descendants of `root`."""
    table = process_table()
    found: set[int] = set()
    newest = {root}
    while newest:
        newest = {pid for pid, entry in table.items() if entry.parent in newest} - found
        found |= newest
    return found


def session_memory_bytes(session: int) -> int:
    """Resident memory of a session's processes. Shared pages count for each process."""
    return sum(entry.memory_bytes for entry in process_table().values() if entry.session == session)


def _from_proc() -> dict[int, ProcessEntry]:
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            # proc(5): after the name come state, ppid, pgrp, session, ...; rss is field 24 of all, in pages
            table[int(name)] = ProcessEntry(int(fields[1]), int(fields[3]), int(fields[21]) * page_bytes)
    return table


def _from_ps() -> dict[int, ProcessEntry]:
    answer = subprocess.run(["ps", "-axo", "pid=,ppid=,sess=,rss="], capture_output=True, text=True, check=False)
    table = {}
    for line in answer.stdout.splitlines():
        pid, parent, _, rss = line.split()
        try:
            session = os.getsid(int(pid))
        except OSError:
            continue
        table[int(pid)] = ProcessEntry(int(parent), session, int(rss) * 1024)
    return table
