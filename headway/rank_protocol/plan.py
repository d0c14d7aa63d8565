"""The plan: what a launcher and its ranks need to know to run one attempt on one worker."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from headway.errors import Corrupt
from headway.rank_protocol.fields import check_fields
from headway.rank_protocol.save_policy import SavePolicy


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One attempt on one worker. The worker writes it, the launcher reads it and hands it to its forks.

    A rank has one of `trainer`, `script`, `module` and `command`. All paths are absolute.
    """

    job: str
    """The job's id."""
    job_name: str
    attempt: int
    """Counted from 1."""
    retries: int
    """How often the job may be tried again."""
    trainer: str | None
    """Name of a built-in trainer."""
    script: str | None
    """Python file, relative to `work`."""
    module: str | None
    """Python module, as for `python -m`."""
    command: list[str]
    """Any other program with its arguments; empty if there is none."""
    arguments: list[str]
    """Of the script or the module."""
    parameters: dict[str, Any]
    """The job's parameters by name."""
    variables: dict[str, str]
    """Environment variables that the job sets, with those that its parameters become."""
    cold: str | None
    """Why the ranks start as new processes; None if they start warm."""
    python: Path
    """Interpreter of ranks that start cold."""
    packages: Path | None
    """The site-packages of the attempt's own environment, over the one that the forkserver runs in."""
    memory_bytes: int | None
    """Limit of each rank's memory."""
    memory_look_seconds: float
    """Time between looks at that memory where the kernel does not limit it."""
    dataset: dict[str, Any] | None
    """The dataset's description, as `headway.core.dataset.Dataset` writes it."""
    data: Path | None
    """Folder of the dataset's flat files."""
    first_rank: int
    """The least rank on this worker; the others follow it."""
    rank_count: int
    """How many ranks this worker runs."""
    world_size: int
    """How many ranks the attempt has on all workers."""
    group_rank: int
    """This worker's number among those of the attempt."""
    group_count: int
    """How many workers the attempt has."""
    endpoint: str
    """`host:port` that ranks get as MASTER_ADDR and MASTER_PORT."""
    store: str | None
    """`host:port` of Headway's rendezvous store; None if the ranks serve one themselves."""
    folder: Path
    """The attempt's files on this worker; `headway.rank_protocol.paths` names them."""
    work: Path
    """The working directory."""
    output: Path
    """Where ranks leave files that the worker stores."""
    checkpoint_files: Path
    """Where programs write checkpoint files."""
    save_policy: SavePolicy
    threads: int
    """Threads of each rank."""
    device_variables: dict[str, str]
    """They tell the ranks which accelerators are theirs."""
    interface: str | None
    """Network interface by which the ranks reach those of other workers."""
    server_url: str
    """The server's HTTP address."""

    def to_json(self) -> bytes:
        """The plan for `from_json`."""
        values = {name: getattr(self, name) for name in _FIELDS}
        values["save_policy"] = self.save_policy.to_json()
        return json.dumps(values, default=os.fspath).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Plan:
        """The plan that a worker wrote. Raises Corrupt that names fields that are missing or unknown."""
        values = json.loads(content)
        if not isinstance(values, dict):
            raise Corrupt(f"the plan is a {type(values).__name__}, not an object")
        check_fields(values, "the plan", _FIELDS)
        values |= {name: Path(values[name]) for name in _PATHS if values[name] is not None}
        values["save_policy"] = SavePolicy.from_json(values["save_policy"])
        return cls(**values)


_FIELDS = tuple(field.name for field in fields(Plan))
_PATHS = tuple(field.name for field in fields(Plan) if field.type in ("Path", "Path | None"))
