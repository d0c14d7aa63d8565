"""The environment variables of a rank."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from headway.rank_protocol import rank_variables
from headway.rank_protocol.paths import error_file, run_file
from headway.rank_protocol.version import version_variables

if TYPE_CHECKING:
    from headway.rank_protocol.plan import Plan


def rank_environment(plan: Plan, local_rank: int) -> dict[str, str]:
    """All variables of a rank: the worker's without its settings, the job's, and those that torchrun sets.

    https://docs.pytorch.org/docs/stable/elastic/run.html
    """
    host, _, port = plan.endpoint.rpartition(":")
    rank = plan.first_rank + local_rank
    folder = plan.folder
    ours = {
        "RANK": rank,
        "LOCAL_RANK": local_rank,
        "WORLD_SIZE": plan.world_size,
        "LOCAL_WORLD_SIZE": plan.rank_count,
        "GROUP_RANK": plan.group_rank,
        "GROUP_WORLD_SIZE": plan.group_count,
        "ROLE_RANK": rank,
        "ROLE_WORLD_SIZE": plan.world_size,
        "ROLE_NAME": "default",
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": plan.job,
        "TORCHELASTIC_RESTART_COUNT": plan.attempt - 1,
        "TORCHELASTIC_MAX_RESTARTS": plan.retries,
        "TORCHELASTIC_USE_AGENT_STORE": "False",  # as torchrun with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
        "TORCHELASTIC_ERROR_FILE": error_file(folder, rank),
        rank_variables.SERVER_URL: plan.server_url,
        rank_variables.JOB_ID: plan.job,
        rank_variables.ATTEMPT: plan.attempt,
        rank_variables.PARAMETERS: json.dumps(plan.parameters),
        rank_variables.RUN_FILE: run_file(folder, rank),
        rank_variables.OUTPUT_DIRECTORY: plan.output,
        rank_variables.CHECKPOINT_DIRECTORY: plan.checkpoint_files,
        rank_variables.CHECKPOINTS: plan.save_policy.to_json(),
        **version_variables(),
    }
    if plan.data:
        ours[rank_variables.DATA_DIRECTORY] = plan.data
    threads = plan.variables.get("OMP_NUM_THREADS", str(plan.threads)).partition(",")[0]
    usual: dict[str, Any] = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    usual["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    if plan.interface:
        usual["GLOO_SOCKET_IFNAME"] = plan.interface
        if plan.group_count > 1:
            usual["NCCL_SOCKET_IFNAME"] = plan.interface
    usual |= plan.device_variables
    # The script must not see the worker's settings and tokens.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    if plan.packages:
        programs = plan.python.parent
        inherited |= {"PATH": f"{programs}{os.pathsep}{inherited['PATH']}", "VIRTUAL_ENV": str(programs.parent)}
    variables = {**inherited, **usual, **plan.variables, **ours}
    if "PYTHONPATH" in plan.variables and "PYTHONPATH" in inherited:
        # The worker's PYTHONPATH may be the path to Headway itself.
        variables["PYTHONPATH"] = os.pathsep.join((plan.variables["PYTHONPATH"], inherited["PYTHONPATH"]))
    return {name: str(value) for name, value in variables.items()}
