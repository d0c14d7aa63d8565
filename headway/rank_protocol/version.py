"""Which version of the rank protocol this Headway speaks: a rank's environment may have another Headway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import headway
from headway.rank_protocol import rank_variables

RANK_PROTOCOL = 1
"""Grows with each change that the other side has to know: of a message, the plan, a file, a record or a variable."""


class HeadwayVersion(NamedTuple):
    """One Headway: the version of the rank protocol that it speaks, its own, and the folder it was imported from."""

    protocol: int
    release: str
    package: str


def own_version() -> HeadwayVersion:
    """That of this process."""
    return HeadwayVersion(RANK_PROTOCOL, headway.__version__, str(Path(headway.__file__).parent.resolve()))


def version_variables() -> dict[str, str]:
    """The variables that tell a rank the version of its worker."""
    return {rank_variables.RANK_PROTOCOL: str(RANK_PROTOCOL), rank_variables.WORKER_VERSION: headway.__version__}


def mismatch_with_worker(variables: Mapping[str, str]) -> str | None:
    """Why a process with these variables cannot record for the worker that started it, and what to do.

    None if it can, and outside Headway.
    """
    protocol = variables.get(rank_variables.RANK_PROTOCOL, "0")
    if rank_variables.RUN_FILE not in variables or protocol == str(RANK_PROTOCOL):
        return None
    release = variables.get(rank_variables.WORKER_VERSION, "(an older one)")
    return mismatch(f"the process of rank {variables.get('RANK')}", own_version(), protocol, release)


def mismatch(subject: str, rank: HeadwayVersion, worker_protocol: str, worker_release: str) -> str:
    """The words for `subject`, whose Headway speaks another version than its worker's."""
    return (
        f"{subject} has Headway {rank.release} in {rank.package}, which speaks version {rank.protocol} of the rank "
        f"protocol; the worker's Headway {worker_release} speaks version {worker_protocol}. "
        f"Install headway=={worker_release} there"
    )
