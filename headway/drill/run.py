"""Runs the scenarios one after the other and judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from headway.client import Client, JobHandle
from headway.core.frozen import Frozen
from headway.drill.checks import broken_invariants, weights_of
from headway.drill.fleet import DrillFleet
from headway.drill.proxy import Proxy
from headway.drill.scenarios import Scenario, Stage
from headway.errors import HeadwayError

_LEASE_SECONDS = 3.0
_LONGEST_SECONDS = 120.0
_WORKERS = 3
_SPARE = "z-spare"
"""Workers with as much room are taken by name, so that this one is left until another is lost."""
_SETTINGS = {"HEADWAY_LEASE_SECONDS": str(_LEASE_SECONDS), "HEADWAY_HEARTBEAT_SECONDS": "0.7"}


class Outcome(Frozen):
    """What came of a scenario. Seconds are None where nothing had to be noticed or started again."""

    scenario: str
    held: bool
    broken: tuple[str, ...] = ()
    attempts: int = 0
    ended_as: str = ""
    noticed_seconds: float | None = None
    first_step_seconds: float | None = None
    repeated_steps: int | None = None


def run_drill(folder: Path, scenarios: Iterable[Scenario], tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Start a fleet in `folder`, train once undisturbed, then once per scenario. `tell` hears each outcome."""
    outcomes = []
    with DrillFleet(folder, _SETTINGS) as fleet:
        fleet.start_server()
        proxy = Proxy(fleet.port)
        fleet.start_worker("one", 1)
        fleet.start_worker("two", 1, proxy.url)
        fleet.start_worker(_SPARE, 1)
        fleet.wait_for_workers(_WORKERS)
        stage = Stage(fleet, proxy)
        with fleet.client() as client:
            alone = _submit(client, {}).wait(progress=False)
            weights = weights_of(alone)
            for scenario in scenarios:
                outcome = _play(stage, client, scenario, weights)
                outcomes.append(outcome)
                tell(outcome)
        proxy.close()
    return outcomes


def _submit(client: Client, spec: dict[str, Any], **variables: str) -> JobHandle:
    source = Path(__file__).with_name("training.py").read_text()
    return client.submit(
        {"script": "training.py", "source": source, "world_size": 2, "variables": variables, "workers": 2, **spec}
    )


def _play(stage: Stage, client: Client, scenario: Scenario, weights: str) -> Outcome:
    stage.fleet.wait_for_workers(_WORKERS)
    job = _submit(client, scenario.spec, TROUBLE=scenario.trouble, SAVE_STEPS=str(scenario.save_steps))
    broken: list[str] = []
    struck_at = None
    try:
        if scenario.strike is not None:
            struck_at = scenario.strike(stage, job)
        _ended(stage, job)
    except HeadwayError as error:
        broken.append(str(error))
    if scenario.fails:
        broken += [] if job.status == "failed" and job.data["attempt"]["failure"] else ["It did not fail with a cause."]
    else:
        broken += broken_invariants(job, weights)
    attempts = job.attempts()
    if not broken and len(attempts) != scenario.attempts:
        broken.append(f"It took {len(attempts)} attempts, not {scenario.attempts}.")
    return Outcome(
        scenario=scenario.name,
        held=not broken,
        broken=tuple(broken),
        attempts=len(attempts),
        ended_as=job.data["reason"] or job.status,
        **_times(job, attempts, struck_at),
    )


def _ended(stage: Stage, job: JobHandle) -> None:
    ends = ("succeeded", "failed", "cancelled")
    stage.fleet.wait(lambda: job.refresh().status in ends, f"the end of job {job.name}", _LONGEST_SECONDS)


def _times(job: JobHandle, attempts: list[dict[str, Any]], struck_at: float | None) -> dict[str, Any]:
    """Seconds from the strike to its being noticed and to the next first step; and what was done again."""
    again = [one for one in attempts[1:] if "first_step" in one["stages"]]
    if not again:
        return {}
    failure = attempts[0]["failure"]
    began = struck_at if struck_at is not None else failure["at"]
    return {
        "noticed_seconds": round(max(0.0, failure["at"] - began), 3) if failure and struck_at is not None else None,
        "first_step_seconds": round(again[0]["stages"]["first_step"] - began, 3),
        "repeated_steps": again[0]["repeats_steps"],
    }
