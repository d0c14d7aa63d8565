"""The allocations' objects in the cluster, and the observations to report for each change. It sends no requests."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from headway.core.allocation import Observation, Over, SeatEnded, SeatUp, Waiting, WaitingCause
from headway.engines.kubernetes.api import Object
from headway.engines.kubernetes.pods import (
    PodEnd,
    PodWaits,
    SeatPod,
    cause_of,
    gone,
    node_lost,
    read_pod,
    still_disrupted,
)

_WORST_FIRST = (
    WaitingCause.IMAGE, WaitingCause.MISSING, WaitingCause.QUOTA, WaitingCause.ROOM, WaitingCause.ENGINE,
    WaitingCause.STARTING,
)  # fmt: skip
_REMEMBERED_RELEASES = 1000
"""How many released allocations are remembered, in case some of their objects still appear."""
_OF_TOKEN = re.compile(r'volume "?token\b')
"""A node may read our secret a moment after the pod is bound to it, so its first try may fail."""
_MADE_SOON = PodWaits(WaitingCause.STARTING, "Kubernetes makes the pod.")


@dataclass
class View:
    """The last known state of one allocation in the cluster.

    `job`: its Job, while it exists. `pods`: the existing pods, by uid. `refused`: why the Job gets no pod; `mounts`:
    why a pod, by uid, gets no volume. `ended`, `up`: uids of pods for which this was reported; `said`: the last report
    of its waiting. `released`: only its end will still be reported.
    """

    id: str
    job: Object | None = None
    pods: dict[str, Object] = field(default_factory=dict)
    refused: PodWaits | None = None
    mounts: dict[str, PodWaits] = field(default_factory=dict)
    up: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    said: PodWaits | None = None
    released: bool = False

    def seat_pods(self, seat: int | None = None) -> list[SeatPod]:
        """The pods of all seats or of one seat, the oldest first."""
        found = [read for read in map(read_pod, self.pods.values()) if read is not None]
        return sorted((one for one in found if seat is None or one.seat == seat), key=lambda one: one.created)

    def waits(self) -> PodWaits | None:
        """The most serious cause for which seats without a running pod wait; None if there are no such seats."""
        if self.job is None or self.released:
            return None
        count = int(self.job["spec"]["completions"])
        active = {pod.seat: pod for pod in self.seat_pods() if pod.active}
        waiting = [self._waits_of(active.get(seat)) for seat in range(count) if not self._runs(active.get(seat))]
        if not waiting:
            return None
        worst = min(waiting, key=lambda one: _WORST_FIRST.index(one.cause))
        if count == 1:
            return worst
        return PodWaits(worst.cause, f"{len(waiting)} of {count} pods wait. {worst.sentence}")

    def _runs(self, pod: SeatPod | None) -> bool:
        return pod is not None and pod.running

    def _waits_of(self, pod: SeatPod | None) -> PodWaits:
        if pod is None:
            return self.refused or _MADE_SOON
        waits = pod.waits or _MADE_SOON
        return self.mounts.get(pod.uid, waits) if waits.cause is WaitingCause.STARTING else waits


class Observed:
    """The views of all allocations of this installation. It calls `tell` once for each observation."""

    def __init__(self, tell: Callable[[Observation], None]) -> None:
        self._tell = tell
        self.views: dict[str, View] = {}
        self._released: deque[str] = deque(maxlen=_REMEMBERED_RELEASES)
        self._trouble: dict[str, str] = {}

    def view(self, allocation: str) -> View:
        """The allocation's view; an empty one if it is not known yet."""
        if allocation not in self.views:
            self.views[allocation] = View(allocation, released=allocation in self._released)
        return self.views[allocation]

    def releasing(self, allocation: str) -> None:
        """The allocation is about to be deleted: only its end is told from now on."""
        self._released.append(allocation)
        self.view(allocation).released = True

    def released(self, allocation: str, *, job_existed: bool) -> None:
        """Kubernetes was told to delete the allocation: its end is told once nothing of it is left."""
        view = self.views.get(allocation)
        if view is None:
            return  # its end was told already
        if not job_existed:
            view.job = None
        self._tell_over(view)

    def job_seen(self, job: Object) -> None:
        """A Job was created or changed."""
        view = self.view(job["metadata"]["name"])
        view.job = job
        self._tell_waiting(view)

    def job_gone(self, allocation: str) -> None:
        """A Job was deleted."""
        view = self.views.get(allocation)
        if view is not None:
            view.job = None
            self._tell_over(view)

    def pod_seen(self, pod: Object) -> None:
        """A pod was created or changed."""
        read = read_pod(pod)
        if read is None:
            return
        view = self.view(read.allocation)
        before = view.pods.get(read.uid)
        if before is None:
            view.refused = None
        pod = still_disrupted(pod, before)
        view.pods[read.uid] = {**pod, "metadata": {**pod["metadata"], "managedFields": None}}
        read = read_pod(pod) or read
        if read.running and read.uid not in view.up:
            view.up.add(read.uid)
            if not view.released:
                self._tell(SeatUp(view.id, read.seat, read.uid))
        end = read.end or (node_lost(pod) if read.leaving else None)
        if end is not None:
            self._tell_end(view, read, end)
        self._tell_waiting(view)

    def pod_gone(self, pod: Object) -> None:
        """A pod was deleted; this was its last state."""
        read = read_pod(pod)
        view = self.views.get(read.allocation) if read is not None else None
        if read is None or view is None:
            return
        view.mounts.pop(read.uid, None)
        self._tell_end(view, read, gone(still_disrupted(pod, view.pods.pop(read.uid, None))))
        view.up.discard(read.uid)
        view.ended.discard(read.uid)
        self._tell_waiting(view)
        self._tell_over(view)

    def warned(self, event: Object) -> None:
        """A Warning event: a Job gets no pod, or a pod gets no volume."""
        involved, message = event["involvedObject"], str(event.get("message", ""))
        if involved.get("kind") == "Job" and event.get("reason") == "FailedCreate":
            view = self.views.get(involved.get("name", ""))
            if view is not None and view.job is not None and view.job["metadata"]["uid"] == involved.get("uid"):
                view.refused = PodWaits(cause_of(message), f"Kubernetes makes no pod: {message}")
                self._tell_waiting(view)
        elif event.get("reason") in ("FailedMount", "FailedAttachVolume") and not _OF_TOKEN.search(message):
            for view in self.views.values():
                if involved.get("uid") in view.pods:
                    view.mounts[involved["uid"]] = PodWaits(WaitingCause.MISSING, f"A volume is missing: {message}")
                    self._tell_waiting(view)

    def troubled(self, kind: str, sentence: str | None) -> None:
        """Why the watch of a kind of objects fails; None: it works again."""
        if sentence is None:
            self._trouble.pop(kind, None)
        else:
            self._trouble[kind] = sentence
        for view in self.views.values():
            self._tell_waiting(view)

    def _tell_end(self, view: View, pod: SeatPod, end: PodEnd) -> None:
        if pod.uid in view.ended:
            return
        view.ended.add(pod.uid)
        if not view.released:
            self._tell(SeatEnded(view.id, pod.seat, pod.uid, end.cause, end.sentence, end.certain))

    def _tell_waiting(self, view: View) -> None:
        waits = view.waits()
        if waits is not None and self._trouble:
            waits = PodWaits(WaitingCause.ENGINE, next(iter(self._trouble.values())))
        if waits is not None and waits != view.said:
            self._tell(Waiting(view.id, waits.cause, waits.sentence))
        view.said = waits

    def _tell_over(self, view: View) -> None:
        if view.job is not None or view.pods or self.views.get(view.id) is not view:
            return
        del self.views[view.id]
        deleted = f"Job {view.id} was deleted in Kubernetes, not by Headway."
        self._tell(Over(view.id, "" if view.released else deleted))
