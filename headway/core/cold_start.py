"""Whether a job's ranks can start warm, by a fork, or have to start cold, as new processes."""

from __future__ import annotations

from headway.core.environment import variables_of_parameters
from headway.core.job import JobSpec
from headway.core.start_variables import counts_only_when


def cold_reason(spec: JobSpec) -> str | None:
    """Why the job's ranks start as new processes instead of forks of a warm one; None if they start warm."""
    if spec.command:
        return f"{spec.command[0]} is a command, not a Python script"
    if spec.trainer is None:
        for name in sorted({*spec.env, *variables_of_parameters(spec.parameters)}):
            moment = counts_only_when(name)
            if moment is not None:
                return f"the variable {name} counts only when {moment}"
    return None
