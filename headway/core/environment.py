"""What software and which variables a job's ranks run with."""

from __future__ import annotations

import re

from pydantic import Field

from headway.core.frozen import Frozen, Text

VARIABLE_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TORCHRUN_VARIABLES = frozenset(
    {
        "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK",
        "ROLE_WORLD_SIZE", "ROLE_NAME", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_USE_AGENT_STORE",
        "TORCHELASTIC_ERROR_FILE",
    }
)  # fmt: skip
"""The variables that torchrun sets for every rank (https://docs.pytorch.org/docs/stable/elastic/run.html)."""
PROCESS_VARIABLES = frozenset({"PATH", "HOME", "PWD", "USER", "SHELL", "TMPDIR", "LANG"})
"""What any process needs as it is."""


class Environment(Frozen):
    """The software of a job. If empty, the worker's own software, which is warm."""

    python: Text | None = Field(
        default=None, max_length=4096, description="Path of an interpreter on the workers; with a lock also a version."
    )
    lock: Text | None = Field(
        default=None,
        max_length=1024,
        description="Lock file in the working directory: requirements.txt, pylock.toml, or uv.lock beside its "
        "pyproject.toml. Built once on each worker, and kept.",
    )

    @property
    def foreign(self) -> bool:
        """Whether the job runs in an environment other than the worker's."""
        return self.python is not None or self.lock is not None


def variables_of_parameters(parameters: dict[str, bool | int | float | str]) -> dict[str, str]:
    """A script's parameters as variables: `batch_size` becomes BATCH_SIZE; true and false as 1 and 0.

    Text is not changed. Raises ValueError if a name is not a valid variable, if a process or torchrun needs it, or if
    two parameters would get the same one.
    """
    variables: dict[str, str] = {}
    for name, value in parameters.items():
        variable = name.upper()
        check_variable(variable, f"parameter {name}")
        if variable in PROCESS_VARIABLES:
            raise ValueError(f"parameter {name} would replace the variable {variable}: choose another name")
        if variable in variables:
            raise ValueError(f"two parameters become the variable {variable}: leave one out")
        variables[variable] = str(int(value)) if isinstance(value, bool) else str(value)
    return variables


def check_variable(name: str, subject: str) -> None:
    """Raises ValueError when a job may not set the variable `name`. The message begins with `subject`."""
    if not VARIABLE_PATTERN.fullmatch(name):
        raise ValueError(f"{subject} cannot be a variable: use letters, digits and underscores, not a digit first")
    if name in TORCHRUN_VARIABLES or name.startswith("HEADWAY_"):
        raise ValueError(f"{subject} would replace {name}, which Headway sets: choose another name")
