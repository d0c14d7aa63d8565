"""The page about the way of a job names existing files."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "internals" / "the-way-of-a-job.md"


def test_every_file_on_the_way_of_a_job_exists() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", PAGE.read_text()))
    assert len(named) > 50
    assert {name for name in named if not (CHECKOUT / "headway" / name).exists()} == set()
