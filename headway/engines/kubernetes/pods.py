"""The meaning of a pod's state: its seat, what it waits for, and why it ended. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from headway.core.allocation import SeatEndCause, WaitingCause
from headway.engines.kubernetes.api import Object
from headway.engines.kubernetes.manifests import ALLOCATION, INDEX

_IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
_NO_PROGRAM_REASONS = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
_DISRUPTION = "DisruptionTarget"
_NODE_LOST_REASONS = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})
_MAXIMUM_WORDS = 1500
"""How many characters of a message a sentence quotes, from its end: the last lines name the cause."""


class PodWaits(NamedTuple):
    """The cause for which a pod waits before its worker can run."""

    cause: WaitingCause
    sentence: str


class PodEnd(NamedTuple):
    """Why a pod ended. `certain`: no process of it can run any more."""

    cause: SeatEndCause
    sentence: str
    certain: bool


class SeatPod(NamedTuple):
    """The last known state of a pod of an allocation.

    `leaving`: it is being deleted. It runs until its grace time is over, unless its node is unreachable.
    """

    allocation: str
    seat: int
    uid: str
    name: str
    created: str
    running: bool
    leaving: bool
    waits: PodWaits | None
    end: PodEnd | None

    @property
    def active(self) -> bool:
        """Whether it occupies the seat, or will."""
        return self.end is None and not self.leaving


def read_pod(pod: Object) -> SeatPod | None:
    """The pod of a seat; None for another pod, such as one that somebody else labelled."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    allocation = (metadata.get("labels") or {}).get(ALLOCATION)
    seat = (metadata.get("annotations") or {}).get(INDEX, "")
    if allocation is None or not seat.isdigit():
        return None
    leaving, phase = metadata.get("deletionTimestamp") is not None, status.get("phase")
    end = _end(pod) if phase in ("Failed", "Succeeded") else None
    running = phase == "Running" and end is None
    waits = _waits(pod) if end is None and not running else None
    uid, name = metadata["uid"], metadata["name"]
    return SeatPod(allocation, int(seat), uid, name, metadata["creationTimestamp"], running, leaving, waits, end)


def still_disrupted(pod: Object, before: Object | None) -> Object:
    """The pod with the disruption that its state before named: a node that writes the status may not know of it."""
    known = _condition((before or {}).get("status") or {}, _DISRUPTION)
    status = pod.get("status") or {}
    if known is None or _condition(status, _DISRUPTION) is not None:
        return pod
    return {**pod, "status": {**status, "conditions": [*(status.get("conditions") or ()), known]}}


def gone(pod: Object) -> PodEnd:
    """Why a deleted pod ended: the cause in its last state, or that somebody deleted it."""
    known = _end(pod)
    terminal = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    placed = (pod.get("spec") or {}).get("nodeName") is not None
    return known._replace(certain=(terminal and known.certain) or not placed)


def node_lost(pod: Object) -> PodEnd | None:
    """The end of a pod whose node is unreachable; it stays in this state until the node is back. None for others."""
    if not _disrupted_by(pod.get("status") or {}, _NODE_LOST_REASONS):
        return None
    return _end(pod)._replace(certain=False)


def cause_of(message: str) -> WaitingCause:
    """The cause in a refusal to create a pod."""
    if "exceeded quota" in message:
        return WaitingCause.QUOTA
    return WaitingCause.MISSING if "not found" in message else WaitingCause.ENGINE


def _waits(pod: Object) -> PodWaits:
    status = pod.get("status") or {}
    scheduled = _condition(status, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        message = str(scheduled.get("message", ""))
        missing = "not found" in message
        cause = WaitingCause.MISSING if missing else WaitingCause.ROOM
        return PodWaits(cause, _sentence("Kubernetes finds no node" if not missing else "Kubernetes says", message))
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), str(waiting.get("message", ""))
        if reason in _IMAGE_REASONS:
            image = container.get("image") or _image(pod)
            return PodWaits(WaitingCause.IMAGE, _sentence(f"Image {image} cannot be pulled ({reason})", message))
        if reason == "CreateContainerConfigError":
            return PodWaits(WaitingCause.MISSING, _sentence("The pod lacks something", message))
        if reason.startswith("Create"):
            return PodWaits(WaitingCause.ENGINE, _sentence(f"The container cannot be made ({reason})", message))
    return PodWaits(WaitingCause.STARTING, "The pod starts.")


def _end(pod: Object) -> PodEnd:
    """Why it ended. An action on the pod takes precedence over the exit of its program."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    name, terminated = metadata["name"], _terminated(status)
    certain = terminated is not None or not _disrupted_by(status, _NODE_LOST_REASONS)
    if terminated is not None and terminated.get("reason") == "OOMKilled":
        bound = _memory_limit(pod)
        sentence = f"Pod {name} ran out of memory{bound}. Give it more with pod.memory."
        return PodEnd(SeatEndCause.OUT_OF_MEMORY, sentence, certain)
    disruption = _condition(status, _DISRUPTION)
    if disruption is not None and disruption.get("status") == "True":
        return PodEnd(_disruption_cause(disruption), _disruption(name, disruption), certain)
    if status.get("reason") in ("Evicted", "Preempting"):
        sentence = _sentence(f"Pod {name} was evicted by its node", str(status.get("message", "")))
        return PodEnd(SeatEndCause.EVICTED, sentence, certain)
    if metadata.get("deletionTimestamp") is not None:
        return PodEnd(SeatEndCause.DELETED, f"Pod {name} was deleted.", certain)
    if terminated is None:
        said = str(status.get("message") or status.get("reason") or "no cause is known")
        return PodEnd(SeatEndCause.UNKNOWN, _sentence(f"Pod {name} failed", said), certain)
    message = str(terminated.get("message", ""))
    if terminated.get("reason") in _NO_PROGRAM_REASONS:
        hint = f"Image {_image(pod)} does not start Headway: it needs `headway` on its PATH"
        return PodEnd(SeatEndCause.NOT_JOINED, _sentence(hint, message), certain)
    exited = f"The worker in pod {name} ended with exit code {terminated.get('exitCode')}"
    return PodEnd(SeatEndCause.EXITED, _sentence(exited, message), certain)


def _disruption_cause(condition: Object) -> SeatEndCause:
    reason = condition.get("reason", "")
    if reason == "PreemptionByScheduler":
        return SeatEndCause.PREEMPTED
    return SeatEndCause.NODE_LOST if reason in _NODE_LOST_REASONS else SeatEndCause.EVICTED


def _disruption(name: str, condition: Object) -> str:
    message = str(condition.get("message", ""))
    match _disruption_cause(condition):
        case SeatEndCause.PREEMPTED:
            return _sentence(f"Pod {name} was preempted by one of higher priority", message)
        case SeatEndCause.NODE_LOST:
            return _sentence(f"The node of pod {name} is lost", message)
        case _:
            return _sentence(f"Pod {name} was evicted, as when its node is drained", message)


def _disrupted_by(status: Object, reasons: frozenset[str]) -> bool:
    condition = _condition(status, _DISRUPTION)
    return condition is not None and condition.get("reason") in reasons


def _condition(status: Object, type_: str) -> Object | None:
    found: list[Object] = status.get("conditions") or []
    return next((one for one in found if one.get("type") == type_), None)


def _containers(status: Object) -> list[Object]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _terminated(status: Object) -> Object | None:
    """The end of the worker's container."""
    for container in _containers(status):
        ended: Object | None = (container.get("state") or {}).get("terminated")
        if ended is not None:
            return ended
    return None


def _image(pod: Object) -> Any:
    return pod["spec"]["containers"][0].get("image")


def _memory_limit(pod: Object) -> str:
    limits = (pod["spec"]["containers"][0].get("resources") or {}).get("limits") or {}
    return f": its limit is {limits['memory']} bytes" if "memory" in limits else ""


def _sentence(beginning: str, message: str) -> str:
    """A sentence from its beginning and Kubernetes's message."""
    message = message.strip()[-_MAXIMUM_WORDS:]
    return f"{beginning}: {message}" if message else f"{beginning}."
