"""The settings in `kubernetes:?NAME=VALUE&...` of HEADWAY_ENGINE_URLS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationError, field_validator

from headway.core.frozen import Frozen, Seconds
from headway.core.invalid_fields import invalid_field
from headway.core.pod import Pod
from headway.engines.kubernetes.cluster_access import ClusterAccess, default_kubeconfig, from_kubeconfig, in_cluster
from headway.errors import SettingInvalid


class KubernetesSettings(Frozen):
    """How Headway reaches the cluster, and settings for the pods of all jobs."""

    kubeconfig: Path | None = None
    """The kubeconfig file. Default: KUBECONFIG, then ~/.kube/config, then the service account of this pod."""
    context: str | None = None
    """The context in that file. Default: the current one."""
    namespace: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """The namespace of the pods. Default: that of the context, or of this pod."""
    image: str | None = None
    """The image of jobs that name none."""
    server: str | None = None
    """The URL at which pods reach the server. Default: its HEADWAY_ADVERTISED_URL, or host and port."""
    pod: Path | None = None
    """A YAML file with fields of `pod` for all jobs. A job's own values win; its names and lists are added."""
    fixed: tuple[str, ...] = ()
    """Fields of `pod` that jobs may not give, such as `image,service_account`."""
    grace_seconds: Seconds = Field(default=60.0, ge=5)
    """How long a pod may take to end: it saves, then sends its last reports. Longer than HEADWAY_SAVE_GRACE_SECONDS."""

    @field_validator("fixed", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = tuple(value.split(",")) if isinstance(value, str) else value
        unknown = next((name for name in names if name not in Pod.model_fields), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is no field of pod; it has: {', '.join(Pod.model_fields)}")
        return names


def read_settings(url: str) -> KubernetesSettings:
    """The settings in the URL. Raises SettingInvalid that names the wrong one."""
    parts = urlsplit(url)
    if parts.netloc or parts.path or parts.fragment:
        raise SettingInvalid(
            f"HEADWAY_ENGINE_URLS has {url}: give it as kubernetes:?namespace=NAME&image=IMAGE; the cluster's address "
            "is in the kubeconfig file."
        )
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    try:
        return KubernetesSettings.model_validate(dict(pairs), strict=False)
    except ValidationError as error:
        found = invalid_field(error.errors()[0], KubernetesSettings)
        raise SettingInvalid(f"HEADWAY_ENGINE_URLS has {url}: {found.sentence}") from error


def find_cluster(settings: KubernetesSettings, environment: Mapping[str, str]) -> ClusterAccess:
    """The cluster that the settings name. Raises SettingInvalid."""
    path = settings.kubeconfig or default_kubeconfig(environment)
    if path is not None:
        return from_kubeconfig(path, settings.context)
    if settings.context is not None:
        raise SettingInvalid("HEADWAY_ENGINE_URLS names a context, but there is no kubeconfig file: add ?kubeconfig=")
    return in_cluster(environment)
