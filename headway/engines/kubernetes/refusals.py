"""Turns the refusal of a trial pod into a sentence about the job's field. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

from headway.core.pod import amount
from headway.engines.kubernetes.api import Refusal

_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.+), used: .+, limited: (?P<limited>.+)"
)
_FIELDS = (
    ("serviceaccount", "service_account", "Create it, or name another"),
    ("PriorityClass", "priority_class", "Create it, or name another"),
    ("PodSecurity", "volumes", "The namespace does not admit such pods"),
    ("must specify", "cpu and pod.memory", "The namespace's quota wants every pod to say what it needs"),
    ("LimitRange", "cpu and pod.memory", "The namespace has limits"),
    ("maximum ", "cpu and pod.memory", "The namespace has limits"),
    ("affinity", "affinity", "See `kubectl explain pod.spec.affinity`"),
    ("tolerations", "tolerations", "See `kubectl explain pod.spec.tolerations`"),
    ("volume", "volumes", "Change it"),
    ("resources", "resources", "Change it"),
)
"""A word in Kubernetes's message, the field that it concerns, and what to do."""


def explain(refusal: Refusal, seats: int) -> str | None:
    """The sentence; None for a pod that only has to wait until others free the quota. `seats`: the number of pods."""
    message = refusal.message
    quota = _QUOTA.search(message)
    if quota is not None:
        over = _beyond(quota["requested"], quota["limited"], seats)
        if over is None:
            return None
        name, wanted, limit = over
        each = f"{seats} pods" if seats > 1 else "the pod"
        return (
            f"pod.cpu and pod.memory: {each} ask for {name}={wanted}, and quota {quota['name']} of the namespace "
            f"allows {limit}. Ask for less, or have the quota raised."
        )
    found = next((one for one in _FIELDS if one[0] in message), None)
    if found is None:
        return f"pod: Kubernetes does not take it: {message}"
    _, field, remedy = found
    return f"pod.{field}: Kubernetes does not take it: {message}. {remedy}."


def _beyond(requested: str, limited: str, seats: int) -> tuple[str, str, str] | None:
    """The first resource of which all pods together request more than the quota allows: its name and both amounts."""
    limits = _amounts(limited)
    for name, one in _amounts(requested).items():
        wanted = one * seats
        if name in limits and wanted > limits[name]:
            return name, f"{wanted.normalize():f}", f"{limits[name].normalize():f}"
    return None


def _amounts(text: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for part in text.split(","):
        name, _, quantity = part.strip().partition("=")
        try:
            found[name] = amount(quantity)
        except ValueError:
            continue
    return found
