"""The pages about the way of a job and the architecture are true: their files, functions and orders exist."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
INTERNALS = CHECKOUT / "docs" / "internals"
WAY = (INTERNALS / "the-way-of-a-job.md").read_text()
LISTENERS = {"job_feed": "feed", "watchers": "followers"}
"""Attributes of the server whose names on the pages are other ones."""


def test_every_file_on_the_way_of_a_job_exists() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", WAY))
    assert len(named) > 50
    assert {name for name in named if not (CHECKOUT / "headway" / name).exists()} == set()


def test_every_function_that_is_named_with_a_file_is_there() -> None:
    named = [(file, names) for file, names in re.findall(r"`([\w/]+\.py)`\s\(((?:`\w+`(?:, )?)+)\)", WAY)]
    assert len(named) > 5
    for file, names in named:
        source = (CHECKOUT / "headway" / file).read_text()
        for name in re.findall(r"\w+", names):
            assert re.search(rf"def {name}\b", source), f"{file} has no {name}"


def test_listeners_are_listed_in_their_order() -> None:
    source = (CHECKOUT / "headway" / "server" / "change_listeners.py").read_text()
    changed = source[source.index("on_change = (") : source.index("on_delete")]
    known = re.findall(r"server\.(\w+)(?:\.job_changed|\.values|\.changed)", changed)
    order = [LISTENERS.get(name, name) for name in known]
    assert len(order) == changed.count("  #")
    assert f"the listeners, in order: {', '.join(order)} |" in WAY
    architecture = (INTERNALS / "architecture.md").read_text()
    listed = architecture[architecture.index("## Who is notified") : architecture.index("## Counters")]
    assert re.findall(r"^\d+\. (\w+)", listed, re.MULTILINE) == order
