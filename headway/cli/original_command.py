"""The command that submits a job again, with the files as they are now."""

from __future__ import annotations

import shlex
from typing import Any

from headway.core.job import JobSpec

_DEFAULTS = {name: field.get_default(call_default_factory=True) for name, field in JobSpec.model_fields.items()}
_OPTIONS = {
    "dataset": "--dataset",
    "world_size": "--world-size",
    "engine": "--engine",
    "ranks_per_worker": "--ranks-per-worker",
    "priority": "--priority",
    "retries": "--retries",
    "timeout_seconds": "--timeout",
    "memory_bytes": "--memory",
    "from_checkpoint": "--from-checkpoint",
}
_REPEATED = {
    "parameters": "--set",
    "env": "--env",
    "metrics": "--metric",
    "labels": "--label",
    "where": "--where",
}


def original_command(spec: dict[str, Any]) -> str | None:
    """The command as a user types it; None for a job without files of a directory: a function or a source text."""
    if spec["trainer"]:
        words = ["train", spec["trainer"], "--dataset", spec["dataset"]]
    elif spec["source"] is not None or "function" in spec["labels"]:
        return None
    elif spec["module"]:
        words = ["run", "-m", spec["module"]]
    else:
        words = ["run", spec["script"]] if spec["script"] else ["run"]
    if spec["name"]:
        words += ["--name", f"{spec['name']}-2"]
    words += _options(spec)
    program = [*spec["command"], *spec["arguments"]]
    return shlex.join(["headway", *words, *(["--", *program] if program else [])])


def _options(spec: dict[str, Any]) -> list[str]:
    words = []
    for field, option in _OPTIONS.items():
        if spec[field] != _DEFAULTS[field] and not (field == "dataset" and spec["trainer"]):
            words += [option, _ranks(spec) if field == "world_size" else _number(spec[field])]
    for field, option in _REPEATED.items():
        for name, value in spec[field].items():
            words += [option, f"{name}={_number(value)}"]
    for pattern in spec["outputs"]:
        words += ["--output", pattern]
    for name, option in (("every_steps", "--save-steps"), ("every_seconds", "--save-every")):
        if spec["checkpoints"][name] not in (None, _DEFAULTS["checkpoints"].model_dump()[name]):
            words += [option, _number(spec["checkpoints"][name])]
    for name in ("lock", "python"):
        words += [f"--{name}", spec["environment"][name]] if spec["environment"][name] else []
    return words


def _ranks(spec: dict[str, Any]) -> str:
    least = spec["minimum_world_size"]
    return str(spec["world_size"]) if least is None else f"{least}-{spec['world_size']}"


def _number(value: Any) -> str:
    """The value as a user types it: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
