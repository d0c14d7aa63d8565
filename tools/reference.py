"""Writes the reference pages that follow from the code: settings, statuses, end reasons. A test keeps them current."""

from __future__ import annotations

import ast
from pathlib import Path

import headway.core.protocol
import headway.settings
from headway.core.end_reason import EndReason
from headway.core.status import ASSIGNMENT_TRANSITIONS, JOB_TRANSITIONS
from headway.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs" / "reference"
HEADER = "<!-- Written by tools/reference.py; change the code instead. -->\n\n"


def settings_page() -> str:
    """Every setting with its default and reason, from the docstring under it."""
    lines = [
        "# Settings\n",
        "The server reads each from the environment variable of its name, in capitals, after `HEADWAY_`;",
        "workers get the timeouts from their server.\n",
        "| variable | default | what for |",
        "|---|---|---|",
    ]
    for module, class_name in ((headway.settings, "Settings"), (headway.core.protocol, "Timeouts")):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
        for position, node in enumerate(found.body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = found.body[position + 1]
                assert isinstance(text, ast.Expr)
                assert isinstance(text.value, ast.Constant)
                reason = " ".join(str(text.value.value).split())
                lines.append(f"| `HEADWAY_{node.target.id.upper()}` | {_default(node.target.id)} | {reason} |")
    return HEADER + "\n".join(lines) + "\n"


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    return "see right" if field.default_factory is not None or field.default is None else f"`{field.default}`"


def statuses_page() -> str:
    """The two state machines, and why attempts end."""
    lines = ["# Statuses and end reasons\n", "## Job\n", "| from | to |", "|---|---|"]
    lines += [f"| {one.value} | {_names(JOB_TRANSITIONS[one])} |" for one in JOB_TRANSITIONS]
    lines += ["\n## Assignment\n", "| from | to |", "|---|---|"]
    lines += [f"| {one.value} | {_names(ASSIGNMENT_TRANSITIONS[one])} |" for one in ASSIGNMENT_TRANSITIONS]
    lines += ["\n## Why an attempt ended\n", "| reason | job becomes | blame | tried again | counts | sentence |"]
    lines += ["|---|---|---|---|---|---|"]
    for reason in EndReason:
        again, counts = ("yes" if reason.retryable else "no"), ("yes" if reason.counted else "no")
        status, blame = reason.status.value, reason.blame.value
        lines.append(f"| {reason.value} | {status} | {blame} | {again} | {counts} | {reason.sentence} |")
    return HEADER + "\n".join(lines) + "\n"


def _names(states: frozenset[object]) -> str:
    return ", ".join(sorted(str(state) for state in states)) or "(terminal)"


PAGES = {"settings.md": settings_page, "statuses.md": statuses_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
