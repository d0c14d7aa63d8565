"""Writes the reference pages from the code. A test keeps them current."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import headway.errors
from headway.backend_registry import BACKENDS, EXTRAS
from headway.cli.main import COMMANDS, cli
from headway.client import Client, JobHandle
from headway.client.job_file import job_file_schema
from headway.core.end_reason import EndReason
from headway.core.protocol import Timeouts
from headway.core.status import ASSIGNMENT_TRANSITIONS, JOB_TRANSITIONS
from headway.errors import HeadwayError
from headway.server.api.field_words import field_words
from headway.server.app import describe_api
from headway.settings import Settings
from headway.training.run import Run

DOCS = Path(__file__).resolve().parent.parent / "docs" / "reference"
HEADER = "<!-- Written by tools/reference.py; change the code instead. -->\n\n"
EXIT_STATUS = """## Exit status

| status | meaning |
|---|---|
| 0 | done; a followed job succeeded, or Ctrl-C stopped following it |
| 1 | failed; a followed job failed; `doctor` found a problem |
| 2 | wrong usage: an option, a spec or a setting is not allowed |
| 3 | a followed job was cancelled |

`exec` returns the command's own status: 128 + N for signal N, 127 if it could not be started.
"""


_TESTED = {
    "sqlite": "SQLite as Python brings it",
    "postgresql": "PostgreSQL 15",
    "mongodb": "a stand-in that speaks MongoDB 5.0's protocol; no real MongoDB or DocumentDB yet",
    "file": "Linux file systems",
    "s3": "MinIO of 2026; not with AWS yet",
    "embedded": "",
    "amqp": "RabbitMQ 3.10",
    "kafka": "Kafka 4.4, three brokers",
    "memory": "",
    "redis": "Redis 7.0",
    "fleet": "",
    "local": "",
    "kubernetes": "Kubernetes 1.35: a real control plane, with pods as local processes",
}
"""The versions that CI tests each backend with."""


def backends_page() -> str:
    """Each kind with its contract, and each backend with its limits, from the docstrings of class and file."""
    lines = [
        "# Backends\n",
        "Chosen by URL; the settings are in [settings](settings.md). A wrong or unreachable one stops the start.\n",
    ]
    for kind, schemes in BACKENDS.items():
        if kind == "worker_broker":
            continue
        contract = getattr(import_module(f"headway.{_PACKAGES[kind]}.base"), kind.capitalize())
        lines += [f"## {kind.capitalize()}\n", f"{_text(contract)}\n"]
        promises = {name: member for name, member in vars(contract).items() if _promised(member)}
        lines += [f"- `{name}`: {' '.join(_text(member).split())}" for name, member in promises.items()]
        lines.append("")
        for place in dict.fromkeys(schemes.values()):
            names = [scheme for scheme, where in schemes.items() if where == place]
            module, _, name = place.partition(":")
            found = import_module(module)
            said = inspect.cleandoc(str(found.__doc__))
            extra = EXTRAS.get(names[0], names[0])
            needs = f" `pip install 'headway[{extra}]'`." if extra in _OPTIONAL else ""
            tested = f" Tested with {_TESTED[names[0]]}." if _TESTED[names[0]] else ""
            lines += [
                f"### {', '.join(f'`{one}:`' for one in names)}\n",
                f"{said}\n",
                f"{_text(getattr(found, name))}{needs}{tested}\n",
            ]
    return _page(lines)


_PACKAGES = {"database": "database", "objects": "objects", "broker": "brokers", "cache": "caches", "engine": "engines"}
_OPTIONAL = ("postgresql", "mongodb", "rabbitmq", "kafka", "redis", "s3")


def _promised(member: Any) -> bool:
    return callable(member) and bool(getattr(member, "__isabstractmethod__", False))


def settings_page() -> str:
    """Every setting with its default and reason, from the docstring under it."""
    lines = [
        "# Settings\n",
        "The server reads each setting from the environment variable `HEADWAY_` + its name in capitals.",
        "Workers get the settings that concern them from their server.\n",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    words = field_words(Settings)
    names = [name for name in Settings.model_fields if name not in Timeouts.model_fields] + [*Timeouts.model_fields]
    lines += [f"| `HEADWAY_{name.upper()}` | {_default(name)} | {words[name]} |" for name in names]
    lines += [
        "\nThe command line and the client read `HEADWAY_SERVER_URL`, `HEADWAY_TOKEN`, `HEADWAY_HOME`, and "
        "`HEADWAY_DATASET_MIRRORS` (other places to fetch built-in datasets from, separated by commas)."
    ]
    return _page(lines)


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    return "(see meaning)" if field.default_factory is not None or field.default is None else f"`{field.default}`"


def statuses_page() -> str:
    """The two state machines, and why attempts end."""
    lines = ["# Statuses and end reasons\n", "## Job\n", "| from | to |", "|---|---|"]
    lines += [f"| {one.value} | {_names(JOB_TRANSITIONS[one])} |" for one in JOB_TRANSITIONS]
    lines += ["\n## Assignment\n", "| from | to |", "|---|---|"]
    lines += [f"| {one.value} | {_names(ASSIGNMENT_TRANSITIONS[one])} |" for one in ASSIGNMENT_TRANSITIONS]
    lines += ["\n## Why an attempt ended\n", "| reason | job becomes | blame | retried | counts | sentence |"]
    lines += ["|---|---|---|---|---|---|"]
    for reason in EndReason:
        again, counts = ("yes" if reason.retryable else "no"), ("yes" if reason.counted else "no")
        status, blame = reason.status.value, reason.blame.value
        lines.append(f"| {reason.value} | {status} | {blame} | {again} | {counts} | {reason.sentence} |")
    return _page(lines)


def _names(states: frozenset[object]) -> str:
    return ", ".join(sorted(str(state) for state in states)) or "(terminal)"


def command_line_page() -> str:
    """Every command with its arguments and options, as its help says them."""
    lines = ["# Command line\n", "`headway COMMAND --help` says the same. Most commands take `--json`, for programs.\n"]
    context = click.Context(cli, info_name="headway")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command(command, click.Context(command, info_name=name, parent=context))
    return _page([*lines, EXIT_STATUS.rstrip()])


def _command(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {context.command_path}\n", f"`{context.command_path} {usage}`\n"]
    lines += [" ".join((command.help or "").replace("\b", "").split()) + "\n"]
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        for option in options:
            record = option.get_help_record(context)
            assert record is not None
            lines.append(f"| `{record[0].replace('|', chr(92) + '|')}` | {' '.join(record[1].split())} |")
        lines.append("")
    for name, child in getattr(command, "commands", {}).items():
        lines += _command(child, click.Context(child, info_name=name, parent=context))
    return lines


def job_page() -> str:
    """Every field of a job's spec, from the schema of job files."""
    schema = job_file_schema()
    lines = [
        "# Job files\n",
        "A job's spec in YAML or JSON: `headway init` writes one, `headway submit` submits it. In the API it is the "
        "body of `POST /api/v1/jobs`, with `snapshot`, the SHA-256 of an uploaded directory, in place of `workdir`. "
        f"{schema['description']}\n",
        "| field | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in schema["properties"].items():
        if name == "environment":
            for inner, inner_field in schema["$defs"]["Environment"]["properties"].items():
                lines.append(_field(f"environment.{inner}", inner_field))
        else:
            lines.append(_field(name, field))
    return _page(lines)


def _field(name: str, field: dict[str, Any]) -> str:
    kinds = [one.get("type", "") for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    default = field.get("default")
    shown = "" if default in (None, [], {}, "") else f"`{default}`"
    return f"| `{name}` | {', '.join(kinds)} | {shown} | {field.get('description', '')} |"


def errors_page() -> str:
    """Every error with its code and HTTP status."""
    lines = [
        "# Errors\n",
        "The API answers errors as RFC 9457 problems with a stable `code`; the client raises the class of that code "
        "from `headway.errors`. Retryable: the same request may succeed later.\n",
        "| code | class | HTTP status | retryable | when |",
        "|---|---|---|---|---|",
    ]
    for error in (HeadwayError, *_descendants(HeadwayError)):
        when = " ".join((error.__doc__ or "").split())
        again = "yes" if error.retryable else "no"
        lines.append(f"| `{error.code}` | {error.__name__} | {error.status} | {again} | {when} |")
    return _page(lines)


def _descendants(parent: type[HeadwayError]) -> list[type[HeadwayError]]:
    found = []
    for child in parent.__subclasses__():
        if child.__module__ == headway.errors.__name__:
            found += [child, *_descendants(child)]
    return found


def python_page() -> str:
    """The public methods of the client, of jobs, and of the run, with their docstrings."""
    lines = ["# Python\n"]
    for title, cls in (("headway.Client", Client), ("A job", JobHandle), ("headway.run()", Run)):
        lines += [f"## {title}\n", _text(cls), ""]
        for name, member in vars(cls).items():
            if name.startswith("_") or name == "of_rank":
                continue
            if isinstance(member, property):
                lines += [f"### `{name}`\n", _text(member.fget), ""]
            elif inspect.isfunction(member):
                signature = str(inspect.signature(member)).replace("self, ", "").replace("(self)", "()")
                lines += [f"### `{name}{signature.replace(chr(39), '')}`\n", _text(member), ""]
    return _page(lines).rstrip() + "\n"


def _text(member: Any) -> str:
    return inspect.cleandoc(member.__doc__ or "")


def api_page() -> str:
    """Every route, from the OpenAPI document."""
    document = describe_api()
    lines = [
        "# API\n",
        "`/docs` of a running server shows it with all schemas and tries it out; [openapi.json](openapi.json) is the "
        "whole document. Requests carry `Authorization: Bearer TOKEN`. Lists are paged by `next` and `cursor`; events, "
        "logs and metrics of a job are followed with `Accept: text/event-stream`. `Last-Event-ID` continues after "
        "a frame.\n",
        "| route | what it does |",
        "|---|---|",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            what = " ".join(operation.get("description", operation["summary"]).split())
            lines.append(f"| `{method.upper()} {path}` | {what} |")
    return _page(lines)


def openapi_document() -> str:
    """The OpenAPI document that this version promises."""
    return json.dumps(describe_api(), indent=1, sort_keys=True) + "\n"


def _page(lines: list[str]) -> str:
    return HEADER + "\n".join(lines) + "\n"


PAGES = {
    "settings.md": settings_page,
    "backends.md": backends_page,
    "statuses.md": statuses_page,
    "command-line.md": command_line_page,
    "job.md": job_page,
    "errors.md": errors_page,
    "python.md": python_page,
    "api.md": api_page,
    "openapi.json": openapi_document,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
