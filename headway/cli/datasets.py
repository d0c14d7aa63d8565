"""`headway datasets` and `headway trainers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from headway.cli.common import (
    answer,
    damaged_rows,
    json_option,
    print_damaged,
    print_json,
    print_table,
    print_text,
    when,
)
from headway.cli.group import Group
from headway.cli.names import complete_datasets, complete_trainers
from headway.client import Client
from headway.client.control_sequences import without_controls
from headway.core.dataset import BUILT_IN, Dataset
from headway.core.nearest import did_you_mean
from headway.core.size import size


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def datasets(context: click.Context, as_json: bool) -> None:
    """List the registered datasets, or show, add, download and delete them."""
    if context.invoked_subcommand is not None:
        return
    with Client() as client:
        found = client.datasets()
        damaged = [] if as_json else damaged_rows(client, "dataset")
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("No dataset is registered yet. The first job that uses mnist or digits registers it.")
    else:
        print_table(("NAME", "TRAIN", "TEST", "SAMPLE", "CLASSES", "SIZE"), map(_row, found))
    print_damaged(damaged)


def _row(dataset: dict[str, Any]) -> tuple[str, ...]:
    splits = dataset["splits"]
    return (
        dataset["name"],
        f"{splits['train']['sample_count']:,}",
        f"{splits['test']['sample_count']:,}",
        _sample(splits["train"]["arrays"]["input"]),
        str(dataset["classes"]),
        size(_compressed_bytes(*splits.values())),
    )


def _sample(array: dict[str, Any]) -> str:
    sides = " x ".join(str(side) for side in array["sample_shape"]) or "scalar"
    return f"{sides} {array['dtype']}"


def _compressed_bytes(*splits: dict[str, Any]) -> int:
    return sum(block["compressed_bytes"] for split in splits for block in split["blocks"])


@datasets.command()
@click.argument("name", shell_complete=complete_datasets)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a dataset's shape, classes, splits, sizes and author."""
    with Client() as client:
        found = client.dataset(name)
    if as_json:
        print_json(found)
        return
    index = Dataset.model_validate(found, extra="ignore")
    facts = {
        "Dataset": index.name,
        "Sample": _sample(found["splits"]["train"]["arrays"]["input"]),
        "Classes": f"{index.classes:,}",
        "Values": f"mean {index.mean:.4g}, standard deviation {index.deviation:.4g}; {index.full_scale:g} means 1.0",
        "Source": without_controls(index.source),
        "Registered": _registration(found),
    }
    for label, text in facts.items():
        if text:
            print_text(f"{label:<12}{text}", hanging=12)
    rows = (
        (name, f"{split.sample_count:,}", size(split.bytes), size(_compressed_bytes(found["splits"][name])))
        for name, split in index.splits.items()
    )
    click.echo()
    print_table(("SPLIT", "SAMPLES", "SIZE", "STORED"), rows)


def _registration(dataset: dict[str, Any]) -> str:
    """Who registered a dataset, and when."""
    if dataset["added_by"] is None:
        return "built in" if dataset["name"] in BUILT_IN else ""
    user = dataset["added_by"] or "the owner of the server's home"
    return f"{when(dataset['added_at'])} by {user}"


@datasets.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@json_option
def add(name: str, path: Path | None, as_json: bool) -> None:
    """Register a dataset: a folder of IDX files with MNIST's names, or an .npz. Without PATH: mnist from its mirrors.

    An .npz has x_train, y_train, x_test and y_test; or images and labels, of which each fifth sample is for the test.
    """
    with Client() as client:
        added = client.fetch_dataset(name) if path is None else client.add_dataset(name, path)
    splits = added["splits"]
    sentence = (
        f"Dataset {name} is registered: {splits['train']['sample_count']:,} training and "
        f"{splits['test']['sample_count']:,} test samples, {added['classes']} classes."
    )
    use = f"Use it: headway train cnn --dataset {name}, or headway run train.py --dataset {name}"
    answer(added, f"{sentence}\n{use}", as_json=as_json)


@datasets.command()
@click.argument("name", shell_complete=complete_datasets)
@click.option("--to", type=click.Path(path_type=Path), help="Folder to write into.  [default: the dataset's name]")
@json_option
def download(name: str, to: Path | None, as_json: bool) -> None:
    """Write a dataset as ranks see it: a .npy file per array, and dataset.json."""
    with Client() as client:
        folder = client.download_dataset(name, to)
    sentence = f"{folder} is written. For a script outside Headway: HEADWAY_DATA_DIRECTORY={folder.absolute()}"
    answer({"folder": str(folder)}, sentence, as_json=as_json)


@datasets.command()
@click.argument("name", shell_complete=complete_datasets)
@json_option
def delete(name: str, as_json: bool) -> None:
    """Delete a dataset that no unfinished job uses. Models and ended jobs stay."""
    with Client() as client:
        client.delete_dataset(name)
    answer({"deleted": name}, f"Dataset {name} is deleted.", as_json=as_json)


@click.command()
@click.argument("name", required=False, shell_complete=complete_trainers)
@json_option
def trainers(name: str | None, as_json: bool) -> None:
    """List the built-in trainers, or the parameters of one with defaults, ranges and help."""
    with Client() as client:
        found = client.trainers()
    if name is not None and name not in found:
        words = f"there is no trainer {name}.{did_you_mean(name, found)} There are: {', '.join(found)}."
        raise click.BadParameter(words, param_hint="NAME")
    if as_json:
        print_json(found if name is None else found[name])
    elif name is None:
        print_table(("TRAINER", "WHAT IT IS"), ((one, schema["description"]) for one, schema in found.items()))
        click.echo("\nParameters of one: headway trainers cnn")
    else:
        fields = found[name]["properties"].items()
        print_table(("PARAMETER", "DEFAULT", "ALLOWED", "WHAT IT IS"), (_parameter(*field) for field in fields))


def _parameter(name: str, field: dict[str, Any]) -> tuple[str, ...]:
    kind = next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), field)
    if "enum" in kind:
        allowed = ", ".join(kind["enum"])
    else:
        low = f">= {kind['minimum']}" if "minimum" in kind else f"> {kind.get('exclusiveMinimum')}"
        high = f"<= {kind['maximum']}" if "maximum" in kind else f"< {kind.get('exclusiveMaximum')}"
        allowed = ", ".join(bound for bound in (low, high) if "None" not in bound)
    default = field.get("default")
    return name, "-" if default is None else str(default), allowed, field.get("description", "")
