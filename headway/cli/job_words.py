"""What people read of a job: what it runs, how far it is, and how long it took."""

from __future__ import annotations

import shlex
import time
from typing import Any

from headway.cli.common import duration
from headway.client.progress import rate_text, remaining_text
from headway.rank_protocol.paths import CALL_SCRIPT

_STAGES = ("launched", "data_ready", "first_step", "trained", "evaluated", "stored")


def work_of(spec: dict[str, Any]) -> str:
    """What a job runs, as a user types it in a shell."""
    if spec["trainer"]:
        return f"{spec['trainer']} on {spec['dataset']}"
    if spec["script"] == CALL_SCRIPT and "function" in spec["labels"]:
        return f"{spec['labels']['function']}()"
    program = ["-m", spec["module"]] if spec["module"] else [spec["script"]] if spec["script"] else []
    return shlex.join([*program, *spec["arguments"], *spec["command"]])


def ranks_of(job: dict[str, Any]) -> str:
    """How many ranks the newest attempt has, of how many were asked for."""
    wanted = job["spec"]["world_size"]
    had = sum(one["rank_count"] for one in job["attempt"]["assignments"]) if job["attempt"] else wanted
    return ranks_text(had, wanted)


def ranks_text(had: int, wanted: int) -> str:
    """How many ranks there are, of how many were asked for."""
    return str(wanted) if had == wanted else f"{had} of {wanted}"


def ran_seconds(job: dict[str, Any]) -> float | None:
    """How long its ranks have run in all attempts, without the queue and pauses; None if they never ran."""
    attempt = job["attempt"]
    since = attempt["started_at"] if attempt and not attempt["ended_at"] else None
    return seconds_until_now(job["ran_seconds"], since)


def seconds_until_now(seconds: float, since: float | None) -> float | None:
    """The seconds, and those since a time if there is one; None for no time at all."""
    return seconds + (0.0 if since is None else max(0.0, time.time() - since)) or None


def step_of(row: dict[str, Any]) -> str:
    """The step of how many, briefly. Of a job that does not train: the step of its failure or checkpoint."""
    return "-" if row["step"] is None else step_text(row["step"], row["total_steps"])


def step_text(step: int, total_steps: int | None) -> str:
    """A step, of how many if that is known."""
    return f"step {step:,}" if total_steps is None else f"{step:,}/{total_steps:,}"


def left_of(row: dict[str, Any]) -> str:
    """The time that is left, or a dash."""
    progress = row["progress"] or {}
    return remaining_text(progress.get("remaining_seconds")).removesuffix(" left") or "-"


def progress_sentence(job: dict[str, Any], last_step: int | None) -> str:
    """The step of how many, the rate and the time left. `last_step`: what the job logged last, if it logs steps."""
    progress = job["progress"] or {}
    step = progress.get("step", last_step)
    if step is None:
        return ""
    total = (job["attempt"] or {}).get("total_steps")
    share = f" of {total:,} ({step / total:.0%})" if total else ""
    rate, left = rate_text(progress.get("steps_per_second")), remaining_text(progress.get("remaining_seconds"))
    return ", ".join(filter(None, (f"step {step:,}{share}", rate, left)))


def time_sentence(job: dict[str, Any], spent: dict[str, Any]) -> str:
    """How long it ran, and how long it waited in the queue and was paused. `spent`: its goodput."""
    ran = ran_seconds(job)
    parts = [
        "not run yet" if ran is None else f"ran {duration(ran)}",
        f"queued {duration(spent['waiting_seconds'])}",
    ]
    if spent["paused_seconds"]:
        parts.append(f"paused {duration(spent['paused_seconds'])}")
    return ", ".join(parts)


def stage_times(job: dict[str, Any]) -> list[tuple[str, float]]:
    """Each stage of the newest attempt, with the seconds since the stage before it or since the placement."""
    attempt = job["attempt"]
    if attempt is None:
        return []
    times: list[tuple[str, float]] = []
    before = attempt["placed_at"]
    for stage in _STAGES:
        if stage == "stored" and "trained" not in attempt["stages"]:
            continue  # a script does not say when its training ends, so that the time would be that of the training
        if stage in attempt["stages"]:
            reached = attempt["stages"][stage]
            times.append((stage, max(0.0, reached - before)))
            before = max(before, reached)
    return times
