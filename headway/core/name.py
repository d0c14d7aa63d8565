"""Names of jobs, datasets and workers: which are allowed, and proposals for those that are not."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from headway.core.json_value import shown

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
_MAXIMUM_CHARACTERS = 63


def check_name(name: Any) -> Any:
    """The name itself. Raises ValueError, with a proposed name, for text that is not allowed as a name."""
    if not isinstance(name, str) or re.fullmatch(NAME_PATTERN[1:-1], name):
        return name
    raise ValueError(
        f"{shown(name)} is not allowed as a name: use a-z, 0-9 and . _ -, at most {_MAXIMUM_CHARACTERS} characters, "
        f"for example {proposed_name(name)}"
    )


Name = Annotated[str, Field(pattern=NAME_PATTERN), BeforeValidator(check_name)]
"""A name as it is used in URLs and on command lines."""


def proposed_name(text: str) -> str:
    """An allowed name that is similar to the text: `my-run-2` for `My Run 2`."""
    return _plain(text, "[^a-z0-9._-]+", lower=True) or "my-name"


def check_labels(labels: dict[str, str]) -> None:
    """Raises ValueError, with a proposed label, for a label that is not allowed."""
    for name, value in labels.items():
        if not all(re.fullmatch(LABEL_PATTERN[1:-1], text) for text in (name, value)):
            label = f"{name}={value}"
            proposal = "=".join(_plain(text, "[^A-Za-z0-9._/-]+", lower=False) or "x" for text in (name, value))
            raise ValueError(
                f"label {label if label.isprintable() else ascii(label)} is not allowed: use letters, digits and "
                f". _ / - on both sides, at most {_MAXIMUM_CHARACTERS} each, for example {proposal}"
            )


def _plain(text: str, others: str, *, lower: bool) -> str:
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(others, "-", text.lower() if lower else text)
    return re.sub("-{2,}", "-", text).lstrip("._/-")[:_MAXIMUM_CHARACTERS].rstrip("-")
