"""What a launcher and its ranks need to know, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headway.core.environment import cold_reason, variables_of_parameters
from headway.core.protocol import Claimed
from headway.worker.meeting_ports import store_of
from headway.worker.preparation import Prepared


def launch_plan(
    claimed: Claimed,
    prepared: Prepared,
    *,
    folder: Path,
    endpoint: str,
    threads: int,
    device_variables: dict[str, str],
    interface: str | None,
    memory_look_seconds: float,
    server_url: str,
) -> dict[str, Any]:
    """The plan of one attempt on this worker; `device_variables` tell its ranks which accelerators are theirs.

    `interface`: the one by which its ranks reach the others.
    """
    spec = claimed.spec
    parameters = {} if spec.trainer else variables_of_parameters(spec.parameters)
    return {
        "job": claimed.job,
        "job_name": claimed.job_name,
        "attempt": claimed.attempt,
        "retries": spec.retries,
        "trainer": spec.trainer,
        "script": spec.script,
        "module": spec.module,
        "command": list(spec.command),
        "arguments": list(spec.arguments),
        "parameters": spec.parameters,
        "variables": {**parameters, **spec.variables},
        "cold": cold_reason(spec),
        "python": str(prepared.overlay.python.absolute() if prepared.overlay else prepared.forkserver.python),
        "packages": str(prepared.overlay.packages.absolute()) if prepared.overlay else None,
        "memory_bytes": spec.memory_bytes,
        "memory_look_seconds": memory_look_seconds,
        "dataset": claimed.dataset.model_dump(mode="json") if claimed.dataset else None,
        "data": str(prepared.data.absolute()) if prepared.data else None,
        "first_rank": claimed.first_rank,
        "rank_count": claimed.rank_count,
        "world_size": claimed.world_size,
        "group_rank": claimed.group_rank,
        "group_count": claimed.group_count,
        "endpoint": endpoint,
        # All ranks of a job meet at the same place: a rank may start cold for its PYTHONPATH.
        "store": None if cold_reason(spec) or "PYTHONPATH" in spec.variables else store_of(endpoint),
        "folder": str(folder.absolute()),
        "work": str(prepared.work.absolute()),
        "output": str(prepared.output.absolute()),
        "checkpoint_files": str(prepared.checkpoint_files.absolute()),
        "checkpoints": spec.checkpoints.model_dump(mode="json"),
        "threads": threads,
        "device_variables": device_variables,
        "interface": interface,
        "server_url": server_url,
    }
