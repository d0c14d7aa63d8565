"""The objects of an allocation: a Service that owns the rest, a Secret with the token, a Job, and pods."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from headway.core.pod import HOME, SECRET_PREFIX, Pod, Toleration, Volume, amount
from headway.engines.kubernetes.api import Object

ALLOCATION, INSTALLATION, JOB = "headway.io/allocation", "headway.io/installation", "headway.io/job"
INDEX = "batch.kubernetes.io/job-completion-index"
CONTAINER = "worker"
TOKEN_FOLDER, TOKEN_KEY = "/run/headway", "token"
_COUNTED = "batch.kubernetes.io/job-tracking"
"""With this finalizer the Job's controller treats a pod as its own and counts its end."""
_ENDLESS = 2**31 - 1
_USER = 1000
_POD_UID: Object = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


class Seats(NamedTuple):
    """The inputs of an allocation's manifests.

    `command`: the worker's, without a shell; each pod finds its seat in JOB_COMPLETION_INDEX. `image`: used if the pod
    names none. `grace_seconds`: how long a pod may take to end.
    """

    allocation: str
    installation: str
    job: str
    pods: int
    pod: Pod
    image: str
    command: tuple[str, ...]
    grace_seconds: float


def labels_of(seats: Seats) -> dict[str, str]:
    """The labels that identify the objects of an allocation."""
    return {ALLOCATION: seats.allocation, INSTALLATION: seats.installation, JOB: seats.job}


def service(seats: Seats) -> Object:
    """The headless Service gives the pods names. It owns all other objects, so they are deleted with it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": seats.allocation, "labels": labels_of(seats)},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {ALLOCATION: seats.allocation}},
    }


def secret(seats: Seats, token: str, owner: Object) -> Object:
    """The Secret with the token that the workers join with."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**_owned(seats, owner), "name": _secret_name(seats)},
        "type": "Opaque",
        "immutable": True,
        "stringData": {TOKEN_KEY: token},
    }


def job(seats: Seats, owner: Object | None) -> Object:
    """The Indexed Job, with one pod for each seat; without an owner, for a trial.

    It never fails and never succeeds by itself: Headway ends it. It has no pod failure policy, because with one, a pod
    on a dead node would never be replaced.
    """
    unowned = {"name": seats.allocation, "labels": labels_of(seats)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _owned(seats, owner) if owner is not None else unowned,
        "spec": {
            "completionMode": "Indexed",
            "completions": seats.pods,
            "parallelism": seats.pods,
            "backoffLimit": _ENDLESS,
            "template": {"metadata": {"labels": labels_of(seats)}, "spec": pod_spec(seats)},
        },
    }


def pod(of: Object, seat: int, *, trial: bool = False) -> Object:
    """A pod for one seat of a Job, as its controller would create it. `trial`: for a Job that does not exist."""
    name, template = f"{of['metadata']['name']}-{seat}", of["spec"]["template"]
    index = {"name": "JOB_COMPLETION_INDEX", "value": str(seat)}
    containers = [{**one, "env": [*(one.get("env") or ()), index]} for one in template["spec"]["containers"]]
    metadata: Object = {
        "generateName": f"{name}-",
        "labels": {**template["metadata"]["labels"], INDEX: str(seat)},
        "annotations": {**(template["metadata"].get("annotations") or {}), INDEX: str(seat)},
    }
    if not trial:
        metadata["finalizers"] = [_COUNTED]
        metadata["ownerReferences"] = [{**_reference(of, "batch/v1", "Job"), "controller": True}]
    spec = {**template["spec"], "hostname": name, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def pod_spec(seats: Seats) -> Object:
    """The template of all pods of the allocation. They can write only to their home, /tmp and their volumes."""
    asked = seats.pod
    volumes, mounts = _volumes(seats)
    spec: Object = {
        "restartPolicy": "Never",
        "subdomain": seats.allocation,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": math.ceil(seats.grace_seconds),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "containers": [
            {
                "name": CONTAINER,
                "image": asked.image or seats.image,
                "command": [*seats.command],
                "env": _variables(asked),
                "resources": _resources(asked),
                "volumeMounts": mounts,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        ],
    }
    optional = {
        "nodeSelector": asked.node_selector,
        "tolerations": [_toleration(one) for one in asked.tolerations],
        "affinity": asked.affinity,
        "priorityClassName": asked.priority_class,
        "serviceAccountName": asked.service_account,
        "imagePullSecrets": [{"name": name} for name in asked.pull_secrets],
    }
    return spec | {name: value for name, value in optional.items() if value}


def _secret_name(seats: Seats) -> str:
    """A name that no job can give: with the token of another one's allocation it could pose as its worker."""
    return f"{SECRET_PREFIX}{seats.allocation}"


def _owned(seats: Seats, owner: Object) -> Object:
    return {
        "name": seats.allocation,
        "labels": labels_of(seats),
        "ownerReferences": [_reference(owner, "v1", "Service")],
    }


def _reference(owner: Object, version: str, kind: str) -> Object:
    found = owner["metadata"]
    return {"apiVersion": version, "kind": kind, "name": found["name"], "uid": found["uid"]}


def _variables(asked: Pod) -> list[Object]:
    """USER, because the image may have no name for the user, and references to Secrets. It contains no secret
    values."""
    plain = [{"name": "HOME", "value": HOME}, {"name": "USER", "value": "headway"}, _POD_UID]
    from_secrets = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}
        for name, one in asked.secret_variables.items()
    ]
    return [*plain, *from_secrets]


def _resources(asked: Pod) -> Object:
    """Requests and limits are equal, so that a pod gets exactly what it requests."""
    wanted: dict[str, str] = {name: str(count) for name, count in asked.resources.items()}
    if asked.cpu is not None:
        wanted["cpu"] = asked.cpu
    if asked.memory is not None:
        wanted["memory"] = whole_bytes(asked.memory)
    return {"requests": wanted, "limits": wanted} if wanted else {}


def whole_bytes(quantity: str) -> str:
    """The quantity in bytes, rounded up, because Kubernetes refuses fractions of a byte."""
    return str(int(amount(quantity).to_integral_value(rounding="ROUND_CEILING")))


def _volumes(seats: Seats) -> tuple[list[Object], list[Object]]:
    volumes: list[Object] = [
        {"name": "token", "secret": {"secretName": _secret_name(seats), "defaultMode": 0o444}},
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": _bounded(seats.pod.shared_memory, medium="Memory")},
    ]
    mounts: list[Object] = [
        {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
        {"name": "home", "mountPath": HOME},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the pod
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
    ]
    for number, volume in enumerate(seats.pod.volumes):
        name = f"volume-{number}"
        volumes.append({"name": name, **_volume(volume)})
        mounts.append({"name": name, "mountPath": volume.path, "readOnly": volume.read_only})
    return volumes, mounts


def _volume(volume: Volume) -> Object:
    if volume.claim is not None:
        return {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": volume.read_only}}
    return {"emptyDir": _bounded(volume.size)}


def _bounded(size: str | None, **fields: str) -> Object:
    return {**fields, **({"sizeLimit": whole_bytes(size)} if size is not None else {})}


def _toleration(one: Toleration) -> Object:
    fields: dict[str, Any] = {
        "key": one.key,
        "operator": "Exists" if one.value is None else "Equal",
        "value": one.value,
        "effect": one.effect,
        "tolerationSeconds": one.seconds,
    }
    return {name: value for name, value in fields.items() if value is not None}
