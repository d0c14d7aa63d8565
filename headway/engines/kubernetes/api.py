"""The requests that Headway sends to the API of Kubernetes, and its refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx

from headway.engines.kubernetes.cluster_access import ClusterAccess
from headway.errors import SettingInvalid, Unavailable

Object = dict[str, Any]
"""An object of the API, as JSON."""
_TIMEOUT_SECONDS = 10.0
_CONNECT_TIMEOUT_SECONDS = 5.0
_MAXIMUM_CONNECTIONS = 16
_PAGE_OBJECTS = 500


class Resource(NamedTuple):
    """A kind of objects: its API path, its group, and its name in URLs and rules."""

    version: str
    plural: str

    @property
    def group(self) -> str:
        """The group as a Role names it: empty for the oldest kinds."""
        return self.version.partition("/")[0] if "/" in self.version else ""

    @property
    def full_name(self) -> str:
        """As kubectl names it: jobs.batch."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


JOBS = Resource("batch/v1", "jobs")
PODS = Resource("v1", "pods")
SERVICES = Resource("v1", "services")
SECRETS = Resource("v1", "secrets")
EVENTS = Resource("v1", "events")
REVIEWS = Resource("authorization.k8s.io/v1", "selfsubjectrulesreviews")


class Refusal(Exception):
    """Raised when the API refuses a request: its HTTP status, its reason, and its message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class Listed(NamedTuple):
    """Objects, and the version of the list. A watch continues after this version."""

    objects: tuple[Object, ...]
    version: str


class WatchEvent(NamedTuple):
    """A change of one object: `ADDED`, `MODIFIED`, `DELETED`, or `BOOKMARK`, which only has a version."""

    type: str
    object: Object

    @property
    def version(self) -> str:
        """The version after which a watch continues."""
        return str(self.object["metadata"]["resourceVersion"])


class Api:
    """The API of one cluster, in one namespace. It counts its requests.

    Every request raises Unavailable without an answer; SettingInvalid, naming the verb, if Headway has no permission;
    and Refusal for other error answers.
    """

    def __init__(self, access: ClusterAccess, namespace: str | None = None) -> None:
        self.namespace = namespace or access.namespace
        self.url = access.url
        self.requests = 0
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS)
        self._http = httpx.AsyncClient(
            base_url=access.url,
            verify=access.tls,
            auth=access.auth,
            timeout=timeout,
            limits=httpx.Limits(max_connections=_MAXIMUM_CONNECTIONS),
            trust_env=True,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def create(self, resource: Resource, manifest: Object, *, dry_run: bool = False) -> Object:
        """Create the object and return it; with `dry_run`, return it without creating it."""
        parameters = {"fieldManager": "headway"} | ({"dryRun": "All"} if dry_run else {})
        return await self._send("create", "POST", resource, parameters=parameters, body=manifest)

    async def get(self, resource: Resource, name: str) -> Object:
        """The object with this name."""
        return await self._send("get", "GET", resource, name)

    async def delete(self, resource: Resource, name: str, uid: str | None = None) -> bool:
        """Delete the object, and in the background the objects that it owns. False if it does not exist (with that
        uid)."""
        options: Object = {"propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._send("delete", "DELETE", resource, name, body=options)
        except Refusal as refusal:
            if refusal.status in (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT):
                return False
            raise
        return True

    async def rules(self) -> Object:
        """Headway's permissions in the namespace: the status of a SelfSubjectRulesReview."""
        body = {"apiVersion": REVIEWS.version, "kind": "SelfSubjectRulesReview", "spec": {"namespace": self.namespace}}
        answer = await self._send("create", "POST", REVIEWS, body=body)
        status: Object = answer["status"]
        return status

    async def list(self, resource: Resource, selector: dict[str, str]) -> Listed:
        """All objects that match the selector, in pages. `selector`: labelSelector, fieldSelector or both."""
        objects: list[Object] = []
        parameters = {**selector, "limit": str(_PAGE_OBJECTS)}
        while True:
            page = await self._send("list", "GET", resource, parameters=parameters)
            objects += page["items"] or ()
            following = page["metadata"].get("continue")
            if not following:
                return Listed(tuple(objects), page["metadata"]["resourceVersion"])
            parameters["continue"] = following

    async def watch(
        self, resource: Resource, selector: dict[str, str], version: str, silence_seconds: float
    ) -> AsyncIterator[WatchEvent]:
        """The changes of the objects after this version of their list, until the API ends the response.

        An ERROR event raises Refusal, like an error answer. `silence_seconds` without a byte raise Unavailable.
        """
        parameters = {**selector, "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS, read=silence_seconds)
        path = self._path(resource)
        self.requests += 1
        try:
            async with self._http.stream("GET", path, params=parameters, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                self._check(response, "watch", resource)
                async for line in response.aiter_lines():
                    found = json.loads(line)
                    if found["type"] == "ERROR":
                        raise _refusal(int(found["object"].get("code", 500)), found["object"])
                    yield WatchEvent(found["type"], found["object"])
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            raise self._unavailable(error) from error

    async def _send(
        self,
        verb: str,
        method: str,
        resource: Resource,
        name: str | None = None,
        *,
        parameters: dict[str, str] | None = None,
        body: Object | None = None,
    ) -> Object:
        path = self._path(resource) + (f"/{name}" if name else "")
        self.requests += 1
        try:
            response = await self._http.request(method, path, params=parameters, json=body)
            self._check(response, verb, resource)
            answer: Object = response.json()
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise self._unavailable(error) from error
        return answer

    def _path(self, resource: Resource) -> str:
        root = "/apis" if resource.group else "/api"
        place = f"/namespaces/{self.namespace}" if resource is not REVIEWS else ""
        return f"{root}/{resource.version}{place}/{resource.plural}"

    def _check(self, response: httpx.Response, verb: str, resource: Resource) -> None:
        """Raises the error of an error answer, as the class describes."""
        if response.is_success:
            return
        try:
            answer = response.json()
        except ValueError:
            answer = {"message": response.text[:500]}
        status, message = response.status_code, str(answer.get("message", ""))
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) and _is_permission(status, message):
            raise not_permitted(f"{verb} {resource.full_name}", self.namespace, message)
        if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
            raise Unavailable(f"The API of Kubernetes at {self.url} answered {status}: {message}")
        raise _refusal(status, answer)

    def _unavailable(self, error: Exception) -> Unavailable:
        said = str(error) or type(error).__name__
        return Unavailable(f"The API of Kubernetes at {self.url} does not answer: {said}")


def not_permitted(what: str, namespace: str, message: str = "") -> SettingInvalid:
    """The error that names the missing verbs and says how to grant them."""
    said = f": {message}" if message else ""
    return SettingInvalid(
        f"Kubernetes does not let Headway {what} in namespace {namespace}{said}. Grant it with "
        f"`headway kubernetes role --namespace {namespace} | kubectl apply -f -`."
    )


def _is_permission(status: int, message: str) -> bool:
    """Whether a verb is missing. Quotas and policies also answer "forbidden", but name no verb that the user lacks."""
    return status == httpx.codes.UNAUTHORIZED or ("User " in message and " cannot " in message)


def _refusal(status: int, answer: Object) -> Refusal:
    return Refusal(status, str(answer.get("reason", "")), str(answer.get("message", "")))
