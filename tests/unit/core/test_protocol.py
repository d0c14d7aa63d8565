"""Messages between workers and servers of different versions."""

from __future__ import annotations

from headway.core.protocol import AssignmentKey, CommittedStream

KEY = AssignmentKey(job="j-1", attempt=1, worker="w-1")


def test_an_older_worker_is_told_of_unreadable_reports_only_if_there_are_any() -> None:
    """An older worker refuses unknown fields, so a new field is sent only when it is needed."""
    committed = CommittedStream(stream=KEY, through=1)
    assert set(committed.model_dump(mode="json")) == {"stream", "through"}
    told = CommittedStream(stream=KEY, through=1, unreadable=(2,)).model_dump_json()
    assert CommittedStream.model_validate_json(told).unreadable == (2,)
