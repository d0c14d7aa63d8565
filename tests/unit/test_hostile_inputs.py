"""The page about hostile inputs names code and tests that exist, for every case."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "internals" / "hostile-inputs.md"


def test_every_hostile_input_has_a_kind_a_fix_and_a_test_that_exist() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cases = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows if not row.startswith("| input")]
    assert len(cases) > 50
    for case in cases:
        assert len(case) == 4, case
        assert all(case), case
        code, tests = (re.findall(r"`([\w/]+\.py)`", cell) for cell in case[2:])
        assert code or "the same" in case[2], case
        assert tests, case
        missing = [path for path in code if not (CHECKOUT / "headway" / path).is_file()]
        assert missing + [path for path in tests if not (CHECKOUT / "tests" / path).is_file()] == [], case
