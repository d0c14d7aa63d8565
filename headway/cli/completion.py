"""`headway completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands, options and names of jobs. Put it into

    \b
    bash  ~/.bashrc: eval "$(headway completion bash)"
    zsh   ~/.zshrc: eval "$(headway completion zsh)"
    fish  ~/.config/fish/completions/headway.fish
    """
    from headway.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "headway", "_HEADWAY_COMPLETE").source())
