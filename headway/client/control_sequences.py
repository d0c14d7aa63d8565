"""Control sequences in the output of jobs. On a terminal they could move the cursor, clear it, or set its title."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|$)"  # CSI: colours, the cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and other strings: the title, links
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # all but tabs and line ends
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_RESET = "\x1b[0m"


def without_controls(text: str) -> str:
    """The text without control sequences and control characters. Tabs and line ends stay."""
    return text if text.isprintable() else _SEQUENCE.sub("", text)


def with_colours(text: str) -> str:
    """The same, but colours and styles (SGR of ECMA-48) stay. They end with the text."""
    if text.isprintable():
        return text
    kept = _SEQUENCE.sub(lambda found: found[0] if _COLOUR.fullmatch(found[0]) else "", text)
    return kept + _RESET if "\x1b" in kept else kept
