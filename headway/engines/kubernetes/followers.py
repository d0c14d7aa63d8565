"""Pass the changes from the watches to the observed state of the allocations."""

from __future__ import annotations

from collections.abc import Sequence

from headway.engines.kubernetes.api import Object
from headway.engines.kubernetes.observed import Observed


class JobFollower:
    """Receives the changes of Jobs."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._known: set[str] = set()

    def listing(self) -> None:
        """What is known now, and not in the list, is gone."""
        self._known = {view.id for view in self._observed.views.values() if view.job is not None}

    def listed(self, objects: Sequence[Object]) -> None:
        """All existing Jobs."""
        for job in objects:
            self._observed.job_seen(job)
        for allocation in self._known - {job["metadata"]["name"] for job in objects}:
            self._observed.job_gone(allocation)

    def changed(self, seen: Object) -> None:
        """A Job was created or changed."""
        self._observed.job_seen(seen)

    def deleted(self, last: Object) -> None:
        """A Job was deleted."""
        self._observed.job_gone(last["metadata"]["name"])

    def troubled(self, sentence: str | None) -> None:
        """The watch of Jobs failed, or works again."""
        self._observed.troubled("jobs", sentence)


class PodFollower:
    """Receives the changes of pods."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._known: dict[str, Object] = {}

    def listing(self) -> None:
        """What is known now, and not in the list, is gone."""
        self._known = {uid: pod for view in self._observed.views.values() for uid, pod in view.pods.items()}

    def listed(self, objects: Sequence[Object]) -> None:
        """All existing pods."""
        for pod in objects:
            self._observed.pod_seen(pod)
            self._known.pop(pod["metadata"]["uid"], None)
        for pod in self._known.values():
            self._observed.pod_gone(pod)

    def changed(self, seen: Object) -> None:
        """A pod was created or changed."""
        self._observed.pod_seen(seen)

    def deleted(self, last: Object) -> None:
        """A pod was deleted."""
        self._observed.pod_gone(last)

    def troubled(self, sentence: str | None) -> None:
        """The watch of pods failed, or works again."""
        self._observed.troubled("pods", sentence)


class EventFollower:
    """Receives events. Kubernetes keeps them for an hour, so the deletion of one means nothing."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def listing(self) -> None:
        """Nothing depends on it."""

    def listed(self, objects: Sequence[Object]) -> None:
        """The warnings of the last hour."""
        for event in objects:
            self._observed.warned(event)

    def changed(self, seen: Object) -> None:
        """A warning was created or repeated."""
        self._observed.warned(seen)

    def deleted(self, last: Object) -> None:
        """A warning has expired."""

    def troubled(self, sentence: str | None) -> None:
        """The watch of events failed, or works again."""
        self._observed.troubled("events", sentence)
