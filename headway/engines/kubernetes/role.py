"""The permissions that Headway needs in the namespace of its pods, and whether it has them."""

from __future__ import annotations

from typing import Any

from headway.engines.kubernetes.api import EVENTS, JOBS, PODS, SECRETS, SERVICES, Object, Resource

ROLE: dict[Resource, tuple[str, ...]] = {
    JOBS: ("create", "delete", "list", "watch"),
    PODS: ("create", "delete", "list", "watch"),
    SERVICES: ("create", "delete", "get", "list"),
    SECRETS: ("create",),
    EVENTS: ("list", "watch"),
}
"""Exactly the verbs that Headway uses. It reads no Secret."""
_NAME = "headway"


def manifests(namespace: str, service_account: str) -> list[Object]:
    """A Role with these verbs, a service account, and the binding of both."""
    metadata = {"name": _NAME, "namespace": namespace}
    of_account = {"name": service_account, "namespace": namespace}
    rules = [{"apiGroups": [one.group], "resources": [one.plural], "verbs": [*verbs]} for one, verbs in ROLE.items()]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": of_account},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": _NAME},
            "subjects": [{"kind": "ServiceAccount", **of_account}],
        },
    ]


def missing_verbs(rules: list[dict[str, Any]]) -> list[str]:
    """The needed permissions that a SelfSubjectRulesReview does not contain, such as `create jobs.batch`."""
    missing: list[str] = []
    for resource, verbs in ROLE.items():
        allowed = {verb for rule in rules if _covers(rule, resource) for verb in rule.get("verbs") or ()}
        missing += [f"{verb} {resource.full_name}" for verb in verbs if not allowed & {verb, "*"}]
    return missing


def _covers(rule: dict[str, Any], resource: Resource) -> bool:
    if rule.get("resourceNames"):
        return False
    groups, plurals = set(rule.get("apiGroups") or ()), set(rule.get("resources") or ())
    return bool(groups & {resource.group, "*"}) and bool(plurals & {resource.plural, "*"})
