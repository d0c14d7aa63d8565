"""Writes the plan of an attempt for its launcher and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headway.core.cold_start import cold_reason
from headway.core.environment import variables_of_parameters
from headway.core.protocol import Claimed
from headway.rank_protocol.plan import Plan
from headway.rank_protocol.save_policy import SavePolicy
from headway.worker.devices import Device
from headway.worker.interface import interface_for_ranks
from headway.worker.meeting_ports import store_of
from headway.worker.preparation import Prepared
from headway.worker.session import Session


def launch_plan(
    claimed: Claimed, prepared: Prepared, session: Session, devices: Sequence[Device], *, folder: Path, endpoint: str
) -> Plan:
    """The plan of one attempt on this worker. `folder` has its files. `devices`: one per rank, in order.

    Raises OSError when no interface leads to the other workers.
    """
    spec = claimed.spec
    parameters = {} if spec.trainer else variables_of_parameters(spec.parameters)
    cold = cold_reason(spec)
    saves = spec.checkpoints
    # All ranks of a job must meet at the same port, even if one starts cold because of its PYTHONPATH.
    shares_store = cold is None and "PYTHONPATH" not in spec.env
    return Plan(
        job=claimed.job,
        job_name=claimed.job_name,
        attempt=claimed.attempt,
        retries=spec.retries,
        trainer=spec.trainer,
        script=spec.script,
        module=spec.module,
        command=list(spec.command),
        arguments=list(spec.arguments),
        parameters=spec.parameters,
        variables={**parameters, **spec.env},
        cold=cold,
        python=prepared.overlay.python.absolute() if prepared.overlay else prepared.forkserver.python,
        packages=prepared.overlay.packages.absolute() if prepared.overlay else None,
        memory_bytes=spec.memory_bytes,
        memory_look_seconds=session.timeouts.memory_look_seconds,
        dataset=claimed.dataset.model_dump(mode="json") if claimed.dataset else None,
        data=prepared.data.absolute() if prepared.data else None,
        first_rank=claimed.first_rank,
        rank_count=claimed.rank_count,
        world_size=claimed.world_size,
        group_rank=claimed.group_rank,
        group_count=claimed.group_count,
        endpoint=endpoint,
        store=store_of(endpoint) if shares_store else None,
        folder=folder.absolute(),
        work=prepared.work.absolute(),
        output=prepared.output.absolute(),
        checkpoint_files=prepared.checkpoint_files.absolute(),
        save_policy=SavePolicy(saves.every_steps, saves.every_seconds, saves.epoch_end),
        threads=session.threads_per_slot,
        device_variables=session.devices.variables(devices),
        interface=session.interface
        or interface_for_ranks(session.host, endpoint, claimed.group_rank, claimed.group_count),
        server_url=session.connection.server_url,
    )
