"""Messages between a worker, its forkserver and the launchers: a JSON object per line, over a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, get_args

from headway.errors import Corrupt
from headway.rank_protocol.fields import check_fields


class ForkserverReady(NamedTuple):
    """The forkserver's only message: it has imported what ranks need. Its fields are those of `HeadwayVersion`."""

    protocol: int
    release: str
    package: str


class LauncherStarted(NamedTuple):
    """The launcher's first message: it waits for its plan."""

    pid: int


class RanksStarted(NamedTuple):
    """The processes of all ranks exist."""

    launcher: int
    """The launcher's pid."""
    pids: list[int]
    """The pids of the ranks, in order of rank."""


class RankExited(NamedTuple):
    """The process of a rank has ended."""

    rank: int
    at: float
    """Seconds since the epoch."""
    exit_code: int | None
    signal: str | None
    """The signal that ended it, such as SIGKILL."""
    stopped: bool
    """Headway ended it."""
    signalled: bool
    """It got a signal that ends a worker as well. The worker knows whether it got that signal too."""
    out_of_memory: bool
    """It exceeded its memory limit."""
    machine_out_of_memory: bool
    """Since the ranks' start, the kernel killed a process of this machine because memory ran out."""
    peak_memory_bytes: int | None


class CommandEnded(NamedTuple):
    """A command that a user ran beside a rank has ended or could not be started."""

    inquiry: str
    exit_code: int | None
    error: str | None


class AllGone(NamedTuple):
    """The launcher's last message: all processes of the attempt here have ended."""

    never_met: bool
    """No rank here had a connection to another rank, as far as the launcher can see."""


class Stop(NamedTuple):
    """End the ranks: SIGTERM, then SIGKILL after the grace time. Without a grace time: SIGKILL at once."""

    grace_seconds: float


class RunCommand(NamedTuple):
    """Run a command beside a rank, with its variables."""

    inquiry: str
    rank: int
    command: list[str]
    timeout_seconds: float
    file: str
    """A new file for its output."""


FromLauncher = LauncherStarted | RanksStarted | RankExited | CommandEnded | AllGone
ToLauncher = Stop | RunCommand
Message = ForkserverReady | FromLauncher | ToLauncher
_KINDS: Mapping[str, type[Message]] = MappingProxyType({kind.__name__: kind for kind in get_args(Message)})


def encode_message(message: Message) -> bytes:
    """The message as a line."""
    return json.dumps({"kind": type(message).__name__, **message._asdict()}).encode() + b"\n"


def decode_message(line: bytes) -> Message:
    """The message in a line. Raises Corrupt, which names unknown kinds and unknown or missing fields."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Corrupt(f"{line[:200]!r} is not a message")
    name = values.pop("kind", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Corrupt(f"{line[:200]!r} is a kind of message that this Headway does not know")
    check_fields(values, f"a message {kind.__name__}", kind._fields)
    return kind(**values)
