"""`headway workers`."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import (
    answer,
    damaged_rows,
    json_option,
    print_damaged,
    print_json,
    print_table,
    when,
    when_briefly,
)
from headway.cli.group import Group
from headway.cli.names import complete_workers
from headway.client import Client
from headway.core.size import counted, size


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def workers(context: click.Context, as_json: bool) -> None:
    """List the workers and their load; drain one, or end its quarantine."""
    if context.invoked_subcommand is not None:
        return
    with Client() as client:
        found = client.workers()
        damaged = [] if as_json else damaged_rows(client, "worker")
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No worker is connected. Start one: headway worker --server URL --token-file FILE")
    else:
        headings = ("NAME", "SLOTS USED", "EACH SLOT", "CPU", "MEMORY", "JOBS", "SEAT", "LABELS", "ADDRESS", "SINCE")
        drop = ("SINCE", "SEAT", "ADDRESS", "LABELS", "EACH SLOT", "MEMORY", "CPU")
        print_table(headings, map(_row, found), cut=("NAME", "JOBS", "LABELS"), drop=drop, empty=("SEAT",))
        for worker in found:
            if worker["quarantine"] is not None:
                click.echo(_quarantined(worker))
    print_damaged(damaged)


@workers.command()
@click.argument("name", shell_complete=complete_workers)
@json_option
def drain(name: str, as_json: bool) -> None:
    """Ask a worker's jobs to save and continue elsewhere. It gets no more jobs until `undrain`."""
    with Client() as client:
        drained = client.drain_worker(name)
    left = ", ".join(drained["ranks"])
    leave = f"its jobs are asked to save and leave: {left}"
    sentence = f"Worker {name} is draining; {leave}." if left else f"Worker {name} is drained."
    answer(drained, sentence, as_json=as_json)


@workers.command()
@click.argument("name", shell_complete=complete_workers)
@json_option
def undrain(name: str, as_json: bool) -> None:
    """Let a drained worker take jobs again."""
    with Client() as client:
        found = client.drain_worker(name, draining=False)
    answer(found, f"Worker {name} takes jobs again.", as_json=as_json)


@workers.command()
@click.argument("name", shell_complete=complete_workers)
@json_option
def restore(name: str, as_json: bool) -> None:
    """End the quarantine of a worker: it takes jobs again. Fix the cause first."""
    with Client() as client:
        found = client.restore_worker(name)
    answer(found, f"Worker {name} takes jobs again.", as_json=as_json)


def _quarantined(worker: dict[str, Any]) -> str:
    name, quarantine = worker["name"], worker["quarantine"]
    reason = quarantine["reason"].rstrip(".")
    return (
        f"Worker {name} is quarantined since {when(quarantine['since'])}: {reason}. "
        f"Once that is fixed: headway workers restore {name}"
    )


def _state(worker: dict[str, Any]) -> str:
    return (" (draining)" if worker["draining"] else "") + (" (quarantined)" if worker["quarantine"] else "")


def _seat(worker: dict[str, Any]) -> str:
    seat = worker.get("seat")  # an earlier server says nothing of it
    return f"{seat['allocation']} seat {seat['number']}" if seat else "-"


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    load = worker["load"]
    memory = "-" if load is None else f"{size(load['memory_used_bytes'])} of {size(load['memory_bytes'])}"
    return (
        worker["name"] + _state(worker),
        f"{worker['used_slots']} of {worker['slots']}",
        worker["accelerators"][0] if worker["accelerators"] else counted(worker["threads_per_slot"], "thread"),
        "-" if load is None else f"{load['cpu_fraction']:.0%}",
        memory,
        ", ".join(f"{name} ({ranks})" for name, ranks in worker["ranks"].items()) or "-",
        _seat(worker),
        " ".join(f"{name}={value}" for name, value in worker["labels"].items()) or "-",
        worker["host"],
        when_briefly(worker["registered_at"]),
    )
