"""The threat model names tests that exist, and has each risk of the OWASP API Security Top 10 (2023)."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/internals/threat-model.md").read_text()


def test_each_risk_has_tests_that_exist() -> None:
    risks = re.findall(r"^\| API(\d+) .*\|(.*)\|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in risks] == list(range(1, 11))
    for number, tests in risks:
        named = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert named, number
        assert [name for name in named if not (CHECKOUT / name).is_file()] == []
