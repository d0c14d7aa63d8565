"""The plan: everything that a launcher and its ranks need to run one attempt on one worker."""

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
    """One attempt on one worker. The worker writes it; the launcher reads it and passes it to its forks.

    It has exactly one of `trainer`, `script`, `module` and `command`. All paths are absolute.
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
    """Another program with its arguments; empty if there is none."""
    arguments: list[str]
    """Arguments of the script or module."""
    parameters: dict[str, Any]
    """The job's parameters by name."""
    variables: dict[str, str]
    """Environment variables that the job sets, including those made from its parameters."""
    cold: str | None
    """Why the ranks start as new processes; None if they start warm."""
    python: Path
    """Interpreter of ranks that start cold."""
    packages: Path | None
    """The site-packages of the attempt's own environment, on top of the forkserver's."""
    memory_bytes: int | None
    """Limit of each rank's memory."""
    memory_look_seconds: float
    """Seconds between checks of that memory, if the kernel does not limit it."""
    dataset: dict[str, Any] | None
    """The dataset's description, as `headway.core.dataset.Dataset` writes it."""
    data: Path | None
    """Folder of the dataset's flat files."""
    first_rank: int
    """The lowest rank on this worker; the others follow it."""
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
    """The folder for files of ranks that the worker stores."""
    checkpoint_files: Path
    """The folder for checkpoint files of programs."""
    save_policy: SavePolicy
    threads: int
    """Threads of each rank."""
    device_variables: dict[str, str]
    """Environment variables that tell the ranks which accelerators they may use."""
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
        """The plan that a worker wrote. Raises Corrupt, which names missing or unknown fields."""
        values = json.loads(content)
        if not isinstance(values, dict):
            raise Corrupt(f"the plan is a {type(values).__name__}, not an object")
        check_fields(values, "the plan", _FIELDS)
        values |= {name: Path(values[name]) for name in _PATHS if values[name] is not None}
        values["save_policy"] = SavePolicy.from_json(values["save_policy"])
        return cls(**values)


_FIELDS = tuple(field.name for field in fields(Plan))
_PATHS = tuple(field.name for field in fields(Plan) if field.type in ("Path", "Path | None"))
