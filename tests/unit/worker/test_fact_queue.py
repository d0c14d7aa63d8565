"""Facts wait in order until they are on the disk."""

from __future__ import annotations

from headway.core.facts import NeverMet, RankFinished, RankStarted
from headway.worker.fact_queue import FactQueue


def test_facts_stay_until_a_report_has_them_and_others_may_come_meanwhile() -> None:
    facts = FactQueue()
    assert not facts
    facts.put(RankStarted(rank=0, pid=1), RankStarted(rank=1, pid=2))
    taken = facts.waiting()
    facts.put(NeverMet())
    facts.reported(len(taken))
    assert facts.waiting() == (NeverMet(),)
    facts.put(RankFinished(rank=0))
    assert facts.waiting() == (NeverMet(), RankFinished(rank=0))
    facts.reported(2)
    assert not facts
