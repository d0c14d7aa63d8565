"""A group of commands whose error for a wrong command names the right one."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import click


class Group(click.Group):
    """A group of commands."""

    meant: Mapping[str, str] = {}
    """Commands of other tools, and their equivalents here."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name. A wrong name is an error."""
        known = self.list_commands(ctx)
        if args and args[0] not in known:
            meant = self.meant.get(args[0]) or next(iter(get_close_matches(args[0], known, n=1)), None)
            path = "".join(f"{one} " for one in ctx.command_path.split()[1:])
            ctx.fail(
                f"There is no command {path}{args[0]}." + (f" Did you mean: headway {path}{meant}" if meant else "")
            )
        return super().resolve_command(ctx, args)
