"""The version of the rank protocol of this Headway. A rank's environment may have another Headway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import headway
from headway.rank_protocol import rank_variables

RANK_PROTOCOL = 1
"""Increase it with each change that affects the other side: of a message, the plan, a file, a record, a variable."""


class HeadwayVersion(NamedTuple):
    """The versions of a Headway: of its rank protocol and its release; and the folder from which it was imported."""

    protocol: int
    release: str
    package: str


def own_version() -> HeadwayVersion:
    """The version of this process."""
    return HeadwayVersion(RANK_PROTOCOL, headway.__version__, str(Path(headway.__file__).parent.resolve()))


def version_variables() -> dict[str, str]:
    """The environment variables that tell a rank its worker's version."""
    return {rank_variables.RANK_PROTOCOL: str(RANK_PROTOCOL), rank_variables.WORKER_VERSION: headway.__version__}


def mismatch_with_worker(variables: Mapping[str, str]) -> str | None:
    """Why a process with these variables cannot write records for its worker, and what to do.

    None if it can, or outside Headway.
    """
    protocol = variables.get(rank_variables.RANK_PROTOCOL, "0")
    if rank_variables.RUN_FILE not in variables or protocol == str(RANK_PROTOCOL):
        return None
    release = variables.get(rank_variables.WORKER_VERSION, "(an older one)")
    return mismatch(f"the process of rank {variables.get('RANK')}", own_version(), protocol, release)


def mismatch(subject: str, rank: HeadwayVersion, worker_protocol: str, worker_release: str) -> str:
    """The message about `subject`, whose Headway has another protocol version than its worker's."""
    return (
        f"{subject} has Headway {rank.release} in {rank.package}, with version {rank.protocol} of the rank "
        f"protocol; the worker's Headway {worker_release} has version {worker_protocol}. "
        f"Install headway=={worker_release} there"
    )
