"""`headway show`: what a job runs, how far it is, and why it stands as it does."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import duration, json_option, print_json, print_text, status_text, when
from headway.cli.job_sections import print_failure, print_result, print_stages
from headway.cli.job_words import progress_sentence, ranks_of, time_sentence, work_of
from headway.cli.names import job_argument
from headway.cli.next_commands import print_next
from headway.client import Client
from headway.client.control_sequences import without_controls
from headway.core.checkpoint_name import checkpoint_name
from headway.core.size import size
from headway.core.status import shown_status

_SHOWN_SECONDS = 0.05
_HASH_CHARACTERS = 12
_LABEL_CHARACTERS = 12


@click.command()
@job_argument
@json_option
def show(job: str, as_json: bool) -> None:
    """Show a job: what it runs, how far it is, why it stands so, and what to do next."""
    with Client() as client:
        handle = client.job(job)
        attempts = handle.attempts()
        spent = handle.goodput()
        data = handle.data
        last_step = None if as_json else _last_step(handle)
    if as_json:
        print_json({**data, "attempts": attempts, "goodput": spent})
        return
    click.echo(f"{click.style(data['name'], bold=True)}  {data['id']}")
    _print_facts(data, spent, last_step)
    print_failure(data)
    for warning in data["warnings"]:
        print_text(f"Warning: {without_controls(warning)}", fg="yellow")
    if data["origin"]:
        origin = data["origin"]
        click.echo(f"Forked from checkpoint {origin['name']}@{origin['step']} (attempt {origin['attempt']}).")
    for attempt in attempts:
        _print_attempt(attempt)
    print_result(data)
    print_stages(data)
    if len(attempts) > 1 and spent["fraction"] is not None:
        _print_goodput(spent)
    _print_kept(data)
    print_next(data, shown="show")


def _last_step(handle: Any) -> int | None:
    """The last step that the job logged; not asked for while it trains, as its row has it then."""
    if handle.data["progress"] is not None or handle.data["attempt"] is None:
        return None
    return max((one["steps"][-1] for one in handle.metrics(points=2).series), default=None)


def _print_facts(data: dict[str, Any], spent: dict[str, Any], last_step: int | None) -> None:
    """A line each, with its name before it."""
    attempt = data["attempt"]
    status = status_text(shown_status(data["status"], hold=data["hold"]))
    count = ranks_of(data)
    words = "1 rank" if count == "1" else f"{count} ranks"
    if attempt:
        workers = ", ".join(one["worker_name"] for one in attempt["assignments"])
        words = f"attempt {attempt['number']}, {words} on {workers}"
    _fact("Status", f"{status}  {words}")
    if data["sentence"]:
        print_text(without_controls(data["sentence"]), indent=_LABEL_CHARACTERS)
    _fact("Progress", progress_sentence(data, last_step))
    _fact("Time", time_sentence(data, spent))
    _fact("Submitted", f"{when(data['created_at'])}{_submitter(data)}")
    _fact("Ended", when(data["ended_at"]) if data["ended_at"] else "")
    _print_work(data["spec"])
    if data["cold"]:
        _fact("Start", f"cold, as new processes: {data['cold']}.")
    _fact("Labels", _pairs(data["labels"]))
    _fact("Notes", data["notes"])


def _print_work(spec: dict[str, Any]) -> None:
    """What was submitted: the program and its arguments, the data, the parameters, and which code."""
    _fact("Runs", work_of(spec))
    _fact("Dataset", "" if spec["trainer"] else spec["dataset"] or "")
    _fact("Parameters", _pairs(spec["parameters"]))
    _fact("Variables", _pairs(spec["env"]))
    environment = {name: value for name, value in spec["environment"].items() if value}
    _fact("Software", _pairs(environment))
    if spec["snapshot"]:
        _fact("Code", f"snapshot {spec['snapshot'][:_HASH_CHARACTERS]}")


def _fact(label: str, text: str) -> None:
    if text:
        print_text(f"{label:<{_LABEL_CHARACTERS}}{text}", hanging=_LABEL_CHARACTERS)


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in values.items())


def _submitter(data: dict[str, Any]) -> str:
    credential = (data.get("submitted_by") or {}).get("credential")
    return f" with token {credential}" if credential else ""


def _print_attempt(attempt: dict[str, Any]) -> None:
    """From where an attempt continued, and how it ended, unless it is the only one and went well."""
    number = attempt["number"]
    if attempt["restored_step"] is not None:
        repeats = attempt["repeats_steps"]
        repeated = (
            "" if repeats is None else f" {repeats:,} logged {'step was' if repeats == 1 else 'steps were'} done again."
        )
        did = "continued from" if attempt["restored_certain"] else "started with the checkpoint files of"
        name = checkpoint_name(attempt["restored_step"], counted=attempt["restored_counted"])
        print_text(f"Attempt {number} {did} {name}.{repeated}")
    elif attempt["repeats_steps"] is not None:
        repeated = f"{attempt['repeats_steps']:,} logged steps were done again."
        did = "started from the beginning"
        if attempt["continued_from"] is not None:
            did = "read the files that the attempts before it had left in the working directory"
        print_text(f"Attempt {number} {did}. {repeated}")
    if attempt["ended_at"] and attempt["reason"] != "completed":
        workers = ", ".join(one["worker_name"] for one in attempt["assignments"])
        took = duration(attempt["ended_at"] - attempt["placed_at"])
        print_text(f"Attempt {number} on {workers} ended after {took}: {attempt['reason'].replace('_', ' ')}.")


def _print_goodput(spent: dict[str, Any]) -> None:
    words = ("useful", "repeated", "startup", "waiting", "paused")
    seconds = [(word, spent[f"{word}_seconds"]) for word in words]
    parts = ", ".join(f"{word} {duration(one)}" for word, one in seconds if one >= _SHOWN_SECONDS)
    print_text(f"Goodput {spent['fraction']:.0%}: {parts}")


def _print_kept(data: dict[str, Any]) -> None:
    """Its checkpoints and files."""
    complete = [checkpoint_name(one["step"], counted=one["counted"]) for one in data["checkpoints"] if one["complete"]]
    if complete:
        print_text(f"Checkpoints: {', '.join(complete)}. More: headway checkpoints {data['name']}")
    for artifact in data["artifacts"]:
        link = f"  link to {artifact['link_to']}" if artifact["link_to"] else ""
        about = f"{size(artifact['size_bytes'])}  sha256 {artifact['sha256'][:_HASH_CHARACTERS]}{link}"
        click.echo(f"Artifact {artifact['name']}  {about}")
