"""Take what the watches tell to what is observed of the allocations."""

from __future__ import annotations

from collections.abc import Sequence

from headway.engines.kubernetes.api import Object
from headway.engines.kubernetes.observed import Observed


class JobFollower:
    """What the watch of Jobs tells."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._known: set[str] = set()

    def listing(self) -> None:
        """What is known now, and not in the list, is gone."""
        self._known = {view.id for view in self._observed.views.values() if view.job is not None}

    def listed(self, objects: Sequence[Object]) -> None:
        """All Jobs there are."""
        for job in objects:
            self._observed.job_seen(job)
        for allocation in self._known - {job["metadata"]["name"] for job in objects}:
            self._observed.job_gone(allocation)

    def changed(self, seen: Object) -> None:
        """A Job came or changed."""
        self._observed.job_seen(seen)

    def deleted(self, last: Object) -> None:
        """A Job went."""
        self._observed.job_gone(last["metadata"]["name"])

    def troubled(self, sentence: str | None) -> None:
        """Nothing is heard of Jobs, or again."""
        self._observed.troubled("jobs", sentence)


class PodFollower:
    """What the watch of pods tells."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._known: dict[str, Object] = {}

    def listing(self) -> None:
        """What is known now, and not in the list, is gone."""
        self._known = {uid: pod for view in self._observed.views.values() for uid, pod in view.pods.items()}

    def listed(self, objects: Sequence[Object]) -> None:
        """All pods there are."""
        for pod in objects:
            self._observed.pod_seen(pod)
            self._known.pop(pod["metadata"]["uid"], None)
        for pod in self._known.values():
            self._observed.pod_gone(pod)

    def changed(self, seen: Object) -> None:
        """A pod came or changed."""
        self._observed.pod_seen(seen)

    def deleted(self, last: Object) -> None:
        """A pod went."""
        self._observed.pod_gone(last)

    def troubled(self, sentence: str | None) -> None:
        """Nothing is heard of pods, or again."""
        self._observed.troubled("pods", sentence)


class EventFollower:
    """What the watch of events tells. Kubernetes keeps them for an hour; that one goes means nothing."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def listing(self) -> None:
        """Nothing depends on it."""

    def listed(self, objects: Sequence[Object]) -> None:
        """The warnings of the last hour."""
        for event in objects:
            self._observed.warned(event)

    def changed(self, seen: Object) -> None:
        """A warning came, or came again."""
        self._observed.warned(seen)

    def deleted(self, last: Object) -> None:
        """A warning is too old."""

    def troubled(self, sentence: str | None) -> None:
        """Nothing is heard of events, or again."""
        self._observed.troubled("events", sentence)
