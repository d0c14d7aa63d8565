"""Sentences about the end of an attempt."""

from __future__ import annotations

import pytest

from headway.core.end_reason import EndReason
from headway.core.failure import Failure, explain_end
from headway.core.worker import WorkerLoad


@pytest.mark.parametrize("reason", EndReason)
@pytest.mark.parametrize("known", ["nothing", "little", "all"])
def test_no_sentence_shows_a_placeholder(reason: EndReason, known: str) -> None:
    """However little is known of a failure, its sentence has no gap."""
    failure = Failure(reason=reason, worker="w-1", worker_name="one", at=0)
    if known == "all":
        more = {"rank": 3, "exit_code": 1, "signal": "SIGKILL", "error": "E: {odd}", "hint": "none", "step": 7}
        failure = failure.model_copy(update=more)
    sentence = explain_end(reason, None if known == "nothing" else failure, sentence="It failed.")
    assert "None" not in sentence
    assert "{" not in sentence.replace("{odd}", "")


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_only_sigkill_is_explained_by_memory(signal: str) -> None:
    failure = Failure(reason=EndReason.RANK_KILLED, worker="w-1", worker_name="one", at=0, rank=0, signal=signal)
    assert ("ran out of memory" in explain_end(EndReason.RANK_KILLED, failure)) is (signal == "SIGKILL")


@pytest.mark.parametrize(("used_gigabytes", "memory"), [(20, False), (80, True)])
def test_memory_that_was_free_is_no_cause(used_gigabytes: int, memory: bool) -> None:
    """Given a rank of 15 GB on a machine of 100 GB, when it is killed, then its memory counts as used until then."""
    load = WorkerLoad(cpu_fraction=0, memory_used_bytes=used_gigabytes * 10**9, memory_bytes=100 * 10**9)
    known = {"signal": "SIGKILL", "worker_load": load, "memory_curve": ((0.0, 10**9), (1.0, 15 * 10**9))}
    failure = Failure(reason=EndReason.RANK_KILLED, worker="w-1", worker_name="one", at=0, rank=0, **known)
    assert ("ran out of memory" in explain_end(EndReason.RANK_KILLED, failure)) is memory
