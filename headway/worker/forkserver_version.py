"""Checks that a forkserver's Headway has the same rank protocol as this worker."""

from __future__ import annotations

from headway import __version__
from headway.errors import Corrupt, EnvironmentFailed, HeadwayError, WorkerOutdated
from headway.rank_protocol.launcher_messages import ForkserverReady, decode_message
from headway.rank_protocol.version import RANK_PROTOCOL, HeadwayVersion, mismatch, own_version

_OR_NONE = ", or take Headway out of the environment: the worker brings its own"


def refusal(said: bytes, python: str) -> HeadwayError | None:
    """Why the forkserver of interpreter `python`, which sent `said`, cannot start ranks; None if it can."""
    try:
        ready = decode_message(said)
    except Corrupt:
        ready = None
    if not isinstance(ready, ForkserverReady):
        words = f"{python} has a Headway that does not report its version. Install headway=={__version__} there"
        return EnvironmentFailed(words + _OR_NONE)
    own, theirs = own_version(), HeadwayVersion(*ready)
    if theirs.protocol == own.protocol:
        return None
    if theirs.package == own.package:
        return WorkerOutdated(
            f"Headway {theirs.release} was installed over this worker's {own.release} while it ran; restart the worker"
        )
    return EnvironmentFailed(mismatch(python, theirs, str(RANK_PROTOCOL), __version__) + _OR_NONE)
