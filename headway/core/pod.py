"""A job's settings for its Kubernetes pods. Pure: the cluster checks everything that only it can know."""

from __future__ import annotations

import re
from decimal import Decimal
from posixpath import normpath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from headway.core.environment import PROCESS_VARIABLES, check_variable
from headway.core.frozen import Frozen, Text
from headway.core.json_value import shown

HOME = "/headway"
"""The folder of the worker's files in a pod. It is empty when the pod starts."""
RESERVED_PATHS = ("/dev", HOME, "/proc", "/run", "/sys", "/tmp", "/var/run")  # noqa: S108 - in a pod
SECRET_PREFIX = "headway-"  # noqa: S105 - of names
"""Secrets whose names begin so are Headway's own, such as the tokens of other jobs' workers."""
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS = {"": Decimal(1), "m": Decimal("0.001")}
_FACTORS |= {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}
_FACTORS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}
_DNS_NAME = r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?"
_LABEL_NAME = re.compile(r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_MAXIMUM_MEMORY_BYTES = 1 << 60
_LEAST_CPUS, _MAXIMUM_CPUS = Decimal("0.001"), Decimal(10_000)


def amount(quantity: str) -> Decimal:
    """The number of a quantity such as 500m or 8Gi. Raises ValueError for other text."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(
            f"{shown(quantity)} is not a quantity: give a number, with a unit if needed, such as 500m or 8Gi"
        )
    return Decimal(found[1]) * _FACTORS[found[2] or ""]


def _cpus(value: Any) -> Any:
    text = _as_text(value)
    if not isinstance(text, str):
        return value
    if not _LEAST_CPUS <= amount(text) <= _MAXIMUM_CPUS:
        raise ValueError(f"{text} is not between 1m and {_MAXIMUM_CPUS} cores: give cores, such as 2, 0.5 or 500m")
    return text


def _bytes(value: Any) -> Any:
    text = _as_text(value)
    if not isinstance(text, str):
        return value
    if not 1 << 20 <= amount(text) <= _MAXIMUM_MEMORY_BYTES:
        raise ValueError(f"{text} is not between 1Mi and 1Ei: give bytes with a unit, such as 8Gi")
    return text


def _as_text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    return value if isinstance(value, str) else f"{value:.9f}".rstrip("0").rstrip(".")


def _object_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_DNS_NAME, value):
        raise ValueError(
            f"{shown(value)} cannot be the name of an object in Kubernetes: use a-z, 0-9, - and dots, at most 253 "
            "characters"
        )
    return value


Cpus = Annotated[str, BeforeValidator(_cpus)]
"""Cores: 2, 0.5 or 500m."""
Bytes = Annotated[str, BeforeValidator(_bytes)]
"""Bytes with a unit, such as 8Gi."""
ObjectName = Annotated[str, BeforeValidator(_object_name)]
"""The name of an object in the namespace of the jobs."""


class Toleration(Frozen):
    """A node taint that the pods tolerate. Without `value` it matches any value, without `key` any taint."""

    key: str | None = Field(default=None, max_length=317)
    value: str | None = Field(default=None, max_length=63)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(default=None, ge=0, description="For NoExecute: how long the pods may stay.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key is None and self.value is not None:
            raise ValueError("a toleration with a value needs the key of the taint")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds belong to a toleration with effect NoExecute")
        return self


class Volume(Frozen):
    """A folder in the pods: a claim on a persistent volume, or an empty folder of at most `size`."""

    path: Text = Field(max_length=1024, description="Where it is in the pods.")
    claim: ObjectName | None = Field(
        default=None, description="The PersistentVolumeClaim; an empty folder if not given."
    )
    size: Bytes | None = Field(default=None, description="Bound of an empty folder, such as 20Gi.")
    read_only: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        path = self.path
        if not path.startswith("/") or ":" in path or normpath(path) != path or path == "/":
            raise ValueError(
                f"path is {shown(path)}: give an absolute path below /, without .. and without a slash at its end"
            )
        reserved = next((one for one in RESERVED_PATHS if path == one or path.startswith(f"{one}/")), None)
        if reserved is not None:
            raise ValueError(
                f"path {path} is in {reserved}, which the pod itself needs: choose another path, such as /data"
            )
        if self.claim is not None and self.size is not None:
            raise ValueError("size belongs to an empty folder: a claim has its own")
        if self.claim is None and self.read_only:
            raise ValueError("an empty folder that is read_only stays empty: name a claim, or leave read_only out")
        return self


class SecretKey(Frozen):
    """A value in a Secret."""

    secret: ObjectName
    key: str = Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")

    @model_validator(mode="after")
    def _of_the_user(self) -> Self:
        if self.secret.startswith(SECRET_PREFIX):
            raise ValueError(f"secret {self.secret} is Headway's own: Secrets of jobs have other names")
        return self


class Pod(Frozen):
    """The settings of each pod of a job, only for jobs with `engine: kubernetes`."""

    image: Text | None = Field(
        default=None, max_length=1000, description="The image; it must contain Headway. Default: the installation's."
    )
    cpu: Cpus | None = Field(default=None, description="Cores of each pod: 2, 0.5 or 500m.")
    memory: Bytes | None = Field(default=None, description="Memory of each pod, such as 8Gi.")
    resources: dict[str, int] = Field(
        default_factory=dict,
        max_length=16,
        description="Devices of each pod by their name in the cluster, such as nvidia.com/gpu: 1.",
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Labels that a node must have to run a pod."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), max_length=64, description="Node taints that the pods tolerate."
    )
    affinity: dict[str, Any] = Field(
        default_factory=dict, description="Which nodes and neighbours to use: the affinity of Kubernetes."
    )
    priority_class: ObjectName | None = Field(default=None, description="The PriorityClass of the pods.")
    service_account: ObjectName | None = Field(
        default=None, description="The service account of the pods; they get no token of it."
    )
    shared_memory: Bytes | None = Field(
        default=None, description="Bound of /dev/shm, such as 2Gi. Default: the pod's memory."
    )
    volumes: tuple[Volume, ...] = Field(default=(), max_length=32, description="Claims and empty folders in the pods.")
    pull_secrets: tuple[ObjectName, ...] = Field(
        default=(), max_length=16, description="Secrets for pulling the image."
    )
    secret_variables: dict[str, SecretKey] = Field(
        default_factory=dict, max_length=100, description="Environment variables of the ranks that come from Secrets."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.image is not None and not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9._/:@]*", self.image):
            raise ValueError(f"image is {shown(self.image)}: give it as REGISTRY/NAME:TAG or NAME@sha256:...")
        for name, count in self.resources.items():
            check_device(name, count)
        for name, value in self.node_selector.items():
            if not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(value):
                raise ValueError(
                    f"node_selector: {shown(name)}: {shown(value)} cannot be a label of a node: names and values have "
                    "letters, digits and . _ -, at most 63 each"
                )
        for name in self.secret_variables:
            check_variable(name, f"secret_variables: {name}")
            if name in PROCESS_VARIABLES:
                raise ValueError(
                    f"secret_variables: {name} would replace a variable that the worker needs: choose another name"
                )
        paths = [volume.path for volume in self.volumes]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            raise ValueError(f"volumes: two have the path {twice}: give each its own path")
        return self


def check_device(name: str, count: int) -> None:
    """Raises ValueError unless the cluster could have this many devices of that name."""
    if "/" not in name or not _LABEL_NAME.fullmatch(name):
        raise ValueError(
            f"resources: {shown(name)} is an unknown resource: give the full name of a device, such as nvidia.com/gpu; "
            "cpu and memory are fields of their own"
        )
    if not 1 <= count <= 1024:
        raise ValueError(f"resources: {name} is {count}: give a whole number from 1 to 1,024")
