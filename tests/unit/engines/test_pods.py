"""Why a pod waits or ended, from what the API of Kubernetes shows of it."""

from __future__ import annotations

from typing import Any

import pytest

from headway.core.allocation import Observation, Over, SeatEndCause, SeatEnded, WaitingCause
from headway.engines.kubernetes.api import Object, Refusal
from headway.engines.kubernetes.observed import Observed
from headway.engines.kubernetes.pods import gone, node_lost, read_pod
from headway.engines.kubernetes.refusals import explain


def pod(*, deleted: bool = False, node: str | None = "node-1", **status: Any) -> Object:
    metadata = {
        "name": "a-1-0-x",
        "uid": "u-1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"headway.io/allocation": "a-1"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
        **({"deletionTimestamp": "2026-01-01T00:00:09Z"} if deleted else {}),
    }
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": [{"image": "i"}]}, "status": status}


def ended(exit_code: int = 75, **fields: Any) -> dict[str, Any]:
    return {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": exit_code, **fields}}}]}


def disrupted(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "said so"}]}


@pytest.mark.parametrize(
    ("seen", "cause", "certain"),
    [
        (pod(deleted=True, **ended(), **disrupted("PreemptionByScheduler")), SeatEndCause.PREEMPTED, True),
        (pod(deleted=True, **ended(), **disrupted("EvictionByEvictionAPI")), SeatEndCause.EVICTED, True),
        (pod(**ended(137), **disrupted("TerminationByKubelet")), SeatEndCause.EVICTED, True),
        (pod(phase="Failed", **disrupted("DeletionByPodGC")), SeatEndCause.NODE_LOST, False),
        (pod(deleted=True, **ended()), SeatEndCause.DELETED, True),
        (pod(**ended(137, reason="OOMKilled")), SeatEndCause.OUT_OF_MEMORY, True),
        (pod(phase="Failed", reason="Evicted", message="disk"), SeatEndCause.EVICTED, True),
        (pod(**ended(128, reason="StartError")), SeatEndCause.NOT_JOINED, True),
        (pod(**ended(1, message="last line")), SeatEndCause.EXITED, True),
        (pod(phase="Failed", reason="UnexpectedAdmissionError"), SeatEndCause.UNKNOWN, True),
    ],
)
def test_an_end_has_its_cause(seen: Object, cause: SeatEndCause, certain: bool) -> None:
    read = read_pod(seen)
    assert read is not None
    assert read.end is not None
    assert (read.end.cause, read.end.certain) == (cause, certain)
    assert not read.active


def test_a_pod_that_vanished_in_its_life_may_still_run_somewhere() -> None:
    assert not gone(pod(phase="Running")).certain, "it was deleted by force"
    assert gone(pod(phase="Pending", node=None)).certain, "it never had a node"
    assert gone(pod(**ended())).certain


def test_a_pod_on_a_lost_node_is_not_certainly_over() -> None:
    leaving = pod(deleted=True, phase="Running", **disrupted("DeletionByTaintManager"))
    lost = node_lost(leaving)
    assert lost is not None
    assert (lost.cause, lost.certain) == (SeatEndCause.NODE_LOST, False)
    assert node_lost(pod(deleted=True, phase="Running", **disrupted("EvictionByEvictionAPI"))) is None, "it saves"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("0/2 nodes are available: 2 Insufficient cpu.", WaitingCause.ROOM),
        ('persistentvolumeclaim "x" not found', WaitingCause.MISSING),
    ],
)
def test_the_schedulers_words_are_told(message: str, cause: WaitingCause) -> None:
    read = read_pod(pod(node=None, phase="Pending", conditions=[
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ]))  # fmt: skip
    assert read is not None
    assert read.waits is not None
    assert read.waits.cause is cause
    assert message in read.waits.sentence


def test_pods_of_others_are_no_seats() -> None:
    seen = pod(phase="Running")
    assert read_pod({**seen, "metadata": {**seen["metadata"], "labels": None}}) is None
    assert read_pod({**seen, "metadata": {**seen["metadata"], "annotations": None}}) is None


QUOTA = (
    'pods "x" is forbidden: exceeded quota: q, requested: limits.memory=1Gi, used: limits.memory=1Gi, '
    "limited: limits.memory=2Gi"
)


def test_a_quota_that_is_used_up_now_refuses_nothing_but_one_that_is_too_small_does() -> None:
    refusal = Refusal(403, "Forbidden", QUOTA)
    assert explain(refusal, 2) is None
    sentence = explain(refusal, 3)
    assert sentence is not None
    assert sentence.startswith("pod.cpu and pod.memory: 3 pods ask for limits.memory=3221225472, and quota q")


def test_a_disruption_is_kept_when_the_node_writes_a_status_without_it() -> None:
    told: list[Observation] = []
    observed = Observed(told.append)
    observed.pod_seen(pod(phase="Running", **disrupted("EvictionByEvictionAPI")))
    observed.pod_seen(pod(deleted=True, **ended()))
    observed.pod_gone(pod(deleted=True, **ended()))
    ends = [one for one in told if isinstance(one, SeatEnded)]
    assert [one.cause for one in ends] == [SeatEndCause.EVICTED]


def test_an_end_that_is_seen_before_the_answer_to_its_release_is_headways_own_and_told_once() -> None:
    told: list[Observation] = []
    observed = Observed(told.append)
    observed.job_seen({"metadata": {"name": "a-1", "uid": "u"}, "spec": {"completions": 1}})
    observed.releasing("a-1")
    observed.job_gone("a-1")
    observed.released("a-1", job_existed=True)
    assert [one for one in told if isinstance(one, Over)] == [Over("a-1")]


@pytest.mark.parametrize("volume", ["token", '"token"'])
def test_a_token_that_a_node_may_not_read_yet_is_nothing_to_tell(volume: str) -> None:
    """Given a new pod, when its node is refused our secret at first, then the pod is not said to lack a volume."""
    told: list[Observation] = []
    observed = Observed(told.append)
    observed.job_seen({"metadata": {"name": "a-1", "uid": "j-1"}, "spec": {"completions": 1}})
    observed.pod_seen(pod(phase="Pending"))
    before = list(told)
    for name, count in ((volume, 0), ('"data"', 1)):
        message = f"MountVolume.SetUp failed for volume {name}: no relationship found between node and this object"
        observed.warned(
            {"involvedObject": {"kind": "Pod", "uid": "u-1"}, "reason": "FailedMount", "message": message}
        )  # fmt: skip
        assert len(told) == len(before) + count
