"""What people read about an end."""

from __future__ import annotations

import pytest

from headway.core.end_reason import EndReason
from headway.core.failure import Failure, explain_end


@pytest.mark.parametrize("reason", EndReason)
@pytest.mark.parametrize("known", ["nothing", "little", "all"])
def test_no_sentence_shows_a_placeholder(reason: EndReason, known: str) -> None:
    """Whatever is known of a failure, the sentence for it is whole."""
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
