"""Arguments that name something. Shells complete them with names from the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

_JOBS = 100
"""This many of the newest jobs are offered."""


def _completed(names: Callable[[Any], Iterable[tuple[str, str]]]) -> Callable[..., list[CompletionItem]]:
    """A function that completes a word with names and a note on each; with nothing if no server answers."""

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from headway.client import Client
        from headway.errors import HeadwayError

        try:
            with Client() as client:
                return [CompletionItem(name, help=about) for name, about in names(client) if name.startswith(begun)]
        except HeadwayError:
            return []

    return complete


complete_jobs = _completed(lambda client: ((one.name, one.status) for one in client.jobs(limit=_JOBS)))
complete_workers = _completed(lambda client: ((one["name"], one["state"]) for one in client.workers()))
complete_datasets = _completed(
    lambda client: (
        (one["name"], f"{sum(split['sample_count'] for split in one['splits'].values()):,} samples")
        for one in client.datasets()
    )
)
complete_trainers = _completed(lambda client: ((name, "") for name in client.trainers()))

job_argument = click.argument("job", shell_complete=complete_jobs)
"""A job, by name or id."""
