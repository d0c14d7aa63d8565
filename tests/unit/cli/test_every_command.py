"""Rules for every command."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from headway.cli.main import cli

WITHOUT_JSON = {
    "up", "server", "worker",  # they run until they are stopped
    "schema",  # it prints JSON always
    "completion",  # it prints a shell script
    "kubernetes role",  # it prints what kubectl reads
}  # fmt: skip


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_answers_prints_json_on_request(name: str) -> None:
    has_json = any("--json" in option.opts for option in COMMANDS[name].params)
    assert has_json is (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_and_every_line_fits_into_eighty_columns(name: str) -> None:
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{option.opts[0]} has no help"
    ran = CliRunner().invoke(cli, [*name.split(), "--help"], terminal_width=80)
    assert ran.exit_code == 0
    assert [line for line in ran.output.splitlines() if len(line) > 80] == []


def test_an_earlier_name_of_an_option_works_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, object] = {}
    command = COMMANDS["run"]
    monkeypatch.setattr(command, "callback", lambda **options: taken.update(options))
    ran = CliRunner().invoke(command, ["--data=digits", "train.py", "--", "--data", "own"])
    assert (taken["dataset"], taken["arguments"]) == ("digits", ("--data", "own"))
    assert ran.stderr == "Note: --data is now called --dataset. The earlier name still works.\n"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["trian"], "There is no command trian. Did you mean: headway train"),
        (["ps"], "There is no command ps. Did you mean: headway jobs"),
        (["ls"], "There is no command ls. Did you mean: headway jobs"),
        (["status"], "There is no command status. Did you mean: headway show JOB"),
        (["stop"], "There is no command stop. Did you mean: headway cancel JOB"),
        (["datasets", "downlod"], "There is no command datasets downlod. Did you mean: headway datasets download"),
        (["users", "xyz"], "There is no command users xyz."),
    ],
)
def test_a_wrong_command_names_the_right_one(typed: list[str], said: str) -> None:
    assert CliRunner().invoke(cli, typed, prog_name="headway").stderr.splitlines()[-1] == f"Error: {said}"
