"""What a worker, its forkserver and the launchers say to each other: a JSON object per line, over a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, get_args

from headway.errors import Corrupt
from headway.rank_protocol.fields import check_fields


class ForkserverReady(NamedTuple):
    """The forkserver's only words: it has imported what ranks need. Its fields are those of `HeadwayVersion`."""

    protocol: int
    release: str
    package: str


class LauncherStarted(NamedTuple):
    """The launcher's first words: it waits for its plan."""

    pid: int


class RanksStarted(NamedTuple):
    """The processes of all ranks exist."""

    launcher: int
    """The launcher's pid."""
    pids: list[int]
    """Those of the ranks, the plan's first rank first."""


class RankExited(NamedTuple):
    """The process of a rank is gone."""

    rank: int
    at: float
    """Seconds since the epoch."""
    exit_code: int | None
    signal: str | None
    """The signal that ended it, such as SIGKILL."""
    stopped: bool
    """Headway ended it."""
    signalled: bool
    """A signal came to it that ends a worker as well: the worker knows whether it did."""
    out_of_memory: bool
    """It held more than its limit."""
    machine_out_of_memory: bool
    """The kernel ended some process of the machine for want of memory since the ranks' start."""
    peak_memory_bytes: int | None


class CommandEnded(NamedTuple):
    """A command that a user ran beside a rank has ended, or could not be started."""

    inquiry: str
    exit_code: int | None
    error: str | None


class AllGone(NamedTuple):
    """The launcher's last words: no process of the attempt is left here."""

    never_met: bool
    """No rank here had a connection to another rank, as far as that can be seen."""


class Stop(NamedTuple):
    """End the ranks: SIGTERM, and SIGKILL after the grace time; without a grace time SIGKILL at once."""

    grace_seconds: float


class RunCommand(NamedTuple):
    """Run a command beside a rank, with its variables."""

    inquiry: str
    rank: int
    command: list[str]
    timeout_seconds: float
    file: str
    """Where its output goes; the file is new."""


FromLauncher = LauncherStarted | RanksStarted | RankExited | CommandEnded | AllGone
ToLauncher = Stop | RunCommand
Message = ForkserverReady | FromLauncher | ToLauncher
_KINDS: Mapping[str, type[Message]] = MappingProxyType({kind.__name__: kind for kind in get_args(Message)})


def encode_message(message: Message) -> bytes:
    """The message as a line."""
    return json.dumps({"kind": type(message).__name__, **message._asdict()}).encode() + b"\n"


def decode_message(line: bytes) -> Message:
    """The message of a line. Raises Corrupt that names what is not known, or missing."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Corrupt(f"{line[:200]!r} is no message")
    name = values.pop("kind", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Corrupt(f"{line[:200]!r} is no kind of message that this Headway knows")
    check_fields(values, f"a message {kind.__name__}", kind._fields)
    return kind(**values)
