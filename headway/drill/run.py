"""Runs the scenarios one after the other and checks the invariants."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from headway.client import Client, JobHandle
from headway.core.frozen import Frozen
from headway.drill.checks import broken_invariants, weights_of
from headway.drill.fleet import DrillFleet
from headway.drill.proxy import Proxy
from headway.drill.scenarios import Scenario, Stage, rank_killed
from headway.drill.torchrun import restart_seconds
from headway.errors import HeadwayError

_LEASE_SECONDS = 3.0
_LONGEST_SECONDS = 120.0
_WORKERS = 3
_LEAST_STEPS = 20
_TORCHRUN_TRIES = 3
"""Tries of torchrun per round, because it does not always recover."""
_SPARE = "z-spare"
"""Of workers with equal room the first by name is used. So this one stays free until another worker is lost."""
_SETTINGS = {"HEADWAY_LEASE_SECONDS": str(_LEASE_SECONDS), "HEADWAY_HEARTBEAT_SECONDS": "0.7"}


class Outcome(Frozen):
    """The result of a scenario. Seconds are None if there was nothing to notice or to restart.

    `impossible`: why it cannot run on this machine; then `held` is false. `outage_step_ratio`: the median step time
    while the server was away, divided by the median before.
    """

    scenario: str
    held: bool
    impossible: str | None = None
    broken: tuple[str, ...] = ()
    attempts: int = 0
    ended_as: str = ""
    noticed_seconds: float | None = None
    first_step_seconds: float | None = None
    repeated_steps: float | None = None
    outage_step_ratio: float | None = None


class Drill(Frozen):
    """All outcomes. If a rank was killed, also the time that bare torchrun needs for the same on this machine.

    `torchrun_gave_up`: the number of tries in which it did not recover. No figure includes these tries.
    """

    outcomes: tuple[Outcome, ...]
    torchrun_first_step_seconds: float | None = None
    ratio_torchrun: float | None = None
    torchrun_tries: int = 0
    torchrun_gave_up: int = 0

    @property
    def held(self) -> bool:
        """Whether all scenarios held. A scenario that could not run did not hold."""
        return all(one.held for one in self.outcomes)


def run_drill(
    folder: Path,
    scenarios: Sequence[Scenario],
    tell: Callable[[Outcome], None],
    rounds: int = 1,
    begin: Callable[[str], None] | None = None,
) -> Drill:
    """Start a fleet in `folder`, train once undisturbed, then `rounds` times per scenario.

    `begin` is called with a few words before each part, `tell` with each outcome.

    The figures of an outcome are medians over its rounds.
    """
    outcomes: list[Outcome] = []
    torchrun: list[float | None] = []
    begin = begin or (lambda _: None)
    begin("starting a fleet")
    with DrillFleet(folder, _SETTINGS) as fleet:
        fleet.start_server()
        proxy = Proxy(fleet.port)
        fleet.start_worker("one", 1)
        fleet.start_worker("two", 1, proxy.url)
        fleet.start_worker(_SPARE, 1)
        fleet.wait_for_workers(_WORKERS)
        stage = Stage(fleet, proxy)
        with fleet.client() as client:
            begin("training once without faults")
            alone = _submit(client, {}).wait(progress=False)
            weights = weights_of(alone)
            for scenario in scenarios:
                begin(scenario.name)
                impossible = scenario.possible()
                if impossible:
                    outcome = Outcome(scenario=scenario.name, held=False, impossible=impossible)
                else:
                    outcome = _joined([_play(stage, client, scenario, weights) for _ in range(rounds)])
                outcomes.append(outcome)
                tell(outcome)
        proxy.close()
        if any(one.inject is rank_killed for one in scenarios):
            begin("the same fault under torchrun")
            while len(torchrun) - torchrun.count(None) < rounds and len(torchrun) < rounds * _TORCHRUN_TRIES:
                torchrun.append(restart_seconds(folder))
    return _beside_torchrun(outcomes, torchrun)


def _joined(rounds: Sequence[Outcome]) -> Outcome:
    """One outcome for several rounds. It held if all rounds did."""
    figures: dict[str, Any] = {}
    for name in ("noticed_seconds", "first_step_seconds", "repeated_steps", "outage_step_ratio"):
        values = [getattr(one, name) for one in rounds if getattr(one, name) is not None]
        figures[name] = median(values) if values else None
    broken = tuple(sentence for one in rounds for sentence in one.broken)
    return rounds[-1].model_copy(update={**figures, "held": not broken, "broken": broken})


def _beside_torchrun(outcomes: Sequence[Outcome], torchrun: Sequence[float | None]) -> Drill:
    ours = next((one.first_step_seconds for one in outcomes if one.scenario == "rank killed"), None)
    restarts = [seconds for seconds in torchrun if seconds is not None]
    drill = Drill(
        outcomes=tuple(outcomes), torchrun_tries=len(torchrun), torchrun_gave_up=len(torchrun) - len(restarts)
    )
    if not restarts or ours is None:
        return drill
    theirs = round(median(restarts), 3)
    figures = {"torchrun_first_step_seconds": theirs, "ratio_torchrun": round(theirs / ours, 1)}
    return drill.model_copy(update=figures)


def _submit(client: Client, spec: dict[str, Any], **variables: str) -> JobHandle:
    source = Path(__file__).with_name("training.py").read_text()
    return client.submit(
        {"script": "training.py", "source": source, "world_size": 2, "env": variables, "workers": 2, **spec}
    )


def _play(stage: Stage, client: Client, scenario: Scenario, weights: str) -> Outcome:
    stage.fleet.wait_for_workers(_WORKERS)
    job = _submit(client, scenario.spec, TROUBLE=scenario.trouble, SAVE_STEPS=str(scenario.save_steps))
    broken: list[str] = []
    fault_at = None
    try:
        if scenario.inject is not None:
            fault_at = scenario.inject(stage, job)
        _ended(stage, job)
    except HeadwayError as error:
        broken.append(str(error))
    if scenario.fails:
        as_planned = (job.status, job.data["reason"]) == ("failed", scenario.fails) and job.data["attempt"]["failure"]
        broken += [] if as_planned else [f"It did not fail as {scenario.fails}, with its cause: {job.data['sentence']}"]
    else:
        broken += broken_invariants(job, weights)
    attempts = job.attempts()
    if not broken and scenario.attempts not in (None, len(attempts)):
        broken.append(f"It took {len(attempts)} attempts, not {scenario.attempts}.")
    return Outcome(
        scenario=scenario.name,
        held=not broken,
        broken=tuple(broken),
        attempts=len(attempts),
        ended_as=job.data["reason"] or job.status,
        **_times(job, attempts, fault_at),
        outage_step_ratio=_outage_step_ratio(stage, job, fault_at),
    )


def _outage_step_ratio(stage: Stage, job: JobHandle, fault_at: float | None) -> float | None:
    """Median step time of rank 0 while the server was away, divided by that before; None if there are too few steps."""
    away_until = stage.fleet.server_away_until
    if fault_at is None or away_until < fault_at or len(job.attempts()) > 1:
        return None
    (series,) = [one for one in job.metrics(["train/loss"], points=100_000).series if one["rank"] == 0]
    steps = [(at, at - before) for before, at in itertools.pairwise(series["times"])]
    before = [seconds for at, seconds in steps if at < fault_at]
    during = [seconds for at, seconds in steps if fault_at < at < away_until]
    return round(median(during) / median(before), 3) if min(len(before), len(during)) >= _LEAST_STEPS else None


def _ended(stage: Stage, job: JobHandle) -> None:
    ends = ("succeeded", "failed", "cancelled")
    stage.fleet.wait(lambda: job.refresh().status in ends, f"the end of job {job.name}", _LONGEST_SECONDS)


def _times(job: JobHandle, attempts: list[dict[str, Any]], fault_at: float | None) -> dict[str, Any]:
    """Seconds from the fault to its detection and to the next first step, and the repeated steps."""
    again = [one for one in attempts[1:] if "first_step" in one["stages"]]
    if not again:
        return {}
    failure = attempts[0]["failure"]
    began = fault_at if fault_at is not None else failure["at"]
    return {
        "noticed_seconds": round(max(0.0, failure["at"] - began), 3) if failure and fault_at is not None else None,
        "first_step_seconds": round(again[0]["stages"]["first_step"] - began, 3),
        "repeated_steps": again[0]["repeats_steps"],
    }
