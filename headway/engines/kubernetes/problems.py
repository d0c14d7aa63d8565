"""What is wrong with a cluster or with the engine's settings, for `headway doctor`. Nothing is changed."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from headway.core.problem import Problem
from headway.engines.kubernetes.api import PODS, Api, Object, Refusal
from headway.engines.kubernetes.role import missing_verbs

_NOT_FOUND = 404
_TRIAL: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "headway-trial-"},
    "spec": {"automountServiceAccountToken": False, "containers": [{"name": "trial", "image": "trial"}]},
}


async def find_problems(api: Api, server_url: str) -> list[Problem]:
    """Missing permissions, a missing namespace, a server that no pod reaches. Raises Unavailable, SettingInvalid."""
    problems = []
    rules = await api.rules()
    missing = [] if rules.get("incomplete") else missing_verbs(rules.get("resourceRules") or [])
    if missing:
        problems.append(
            Problem(
                f"Kubernetes does not let Headway {', '.join(missing)} in namespace {api.namespace}.",
                f"headway kubernetes role --namespace {api.namespace} | kubectl apply -f -",
            )
        )
    elif not await _namespace_exists(api):
        problems.append(
            Problem(f"Namespace {api.namespace} does not exist.", f"kubectl create namespace {api.namespace}")
        )
    if is_loopback(server_url):
        problems.append(
            Problem(
                f"Pods cannot reach the server at {server_url}: in a pod, this address is the pod itself.",
                "Start the server with --host 0.0.0.0 --behind-proxy, and add &server=http://ADDRESS:PORT to "
                "kubernetes: in HEADWAY_ENGINE_URLS.",
            )
        )
    return problems


async def _namespace_exists(api: Api) -> bool:
    """Try a pod without creating it: Headway has no permission to look at namespaces."""
    try:
        await api.create(PODS, _TRIAL, dry_run=True)
    except Refusal as refusal:
        return refusal.status != _NOT_FOUND
    return True


def is_loopback(url: str) -> bool:
    """Whether only this machine reaches the URL."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
