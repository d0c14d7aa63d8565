"""Workers in pods that are created for one job: `kubernetes:?namespace=training&image=...`."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from typing import ClassVar

import httpx

from headway.core.allocation import Observation, Over
from headway.core.allocation_transitions import seats_of
from headway.core.job import JobSpec
from headway.core.pod import HOME, Pod
from headway.core.problem import Problem
from headway.engines.base import Abilities, AllocatingEngine, AllocationRequest, EngineSetup
from headway.engines.kubernetes import manifests
from headway.engines.kubernetes.api import (
    EVENTS,
    JOBS,
    PODS,
    SECRETS,
    SERVICES,
    Api,
    Object,
    Refusal,
    Resource,
    not_permitted,
)
from headway.engines.kubernetes.followers import EventFollower, JobFollower, PodFollower
from headway.engines.kubernetes.manifests import INSTALLATION, TOKEN_FOLDER, TOKEN_KEY, Seats
from headway.engines.kubernetes.observed import Observed
from headway.engines.kubernetes.pod_defaults import check_free, read_defaults, with_defaults
from headway.engines.kubernetes.problems import find_problems
from headway.engines.kubernetes.refusals import explain
from headway.engines.kubernetes.role import missing_verbs
from headway.engines.kubernetes.settings import find_cluster, read_settings
from headway.engines.kubernetes.watch import EVENTS_LAST_SECONDS, SILENCE_SECONDS, Watch
from headway.errors import InvalidInput, Unavailable


class KubernetesEngine(AllocatingEngine):
    """An allocation is an Indexed Job, a headless Service and a Secret with its name, in one namespace of one cluster.

    The Job creates the first pod of each seat. This engine itself creates later ones, as pods of that Job, because the
    Job's controller would wait 10, 20, 40... seconds.
    """

    name: ClassVar[str] = "kubernetes"
    abilities: ClassVar[Abilities] = Abilities(
        whole_gangs=False, replaces_seats=True, resizes=False, expires=False, server_reaches_workers=False
    )

    def __init__(self, url: str) -> None:
        self._settings = read_settings(url)
        self._defaults = read_defaults(self._settings.pod) if self._settings.pod is not None else Pod()
        self._observations: asyncio.Queue[Observation] = asyncio.Queue()
        self._observed = Observed(self._observations.put_nowait)
        self._following: list[asyncio.Task[None]] = []
        self._api: Api
        self._setup: EngineSetup
        self._watches: tuple[Watch, ...] = ()

    @property
    def requests(self) -> int:
        """The number of requests that this process has sent to the API of Kubernetes."""
        return self._api.requests

    async def open(self, setup: EngineSetup) -> None:
        self._setup = setup
        self._api = Api(find_cluster(self._settings, os.environ), self._settings.namespace)
        ours = {"labelSelector": f"{INSTALLATION}={setup.installation}"}
        self._watches = (
            Watch(self._api, JOBS, ours, JobFollower(self._observed)),
            Watch(self._api, PODS, ours, PodFollower(self._observed)),
            Watch(
                self._api,
                EVENTS,
                {"fieldSelector": "type=Warning"},
                EventFollower(self._observed),
                silence_seconds=EVENTS_LAST_SECONDS + SILENCE_SECONDS,
                lasting_seconds=EVENTS_LAST_SECONDS,
            ),
        )
        try:
            rules = await self._api.rules()
        except Unavailable:
            return
        missing = [] if rules.get("incomplete") else missing_verbs(rules.get("resourceRules") or [])
        if missing:
            raise not_permitted(", ".join(missing), self._api.namespace)

    async def close(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        self._following.clear()
        await self._api.close()

    async def check(self, spec: JobSpec) -> None:
        check_free(spec.pod or Pod(), self._settings.fixed)
        seats = self._seats("trial-" + secrets.token_hex(4), "trial", spec)
        job = manifests.job(seats, None)
        try:
            await self._api.create(JOBS, job, dry_run=True)
            await self._api.create(PODS, manifests.pod(job, 0, trial=True), dry_run=True)
        except Refusal as refusal:
            sentence = explain(refusal, seats.pods)
            if sentence is not None:
                raise InvalidInput(sentence) from refusal

    async def problems(self, server_url: str) -> list[Problem]:
        api = Api(find_cluster(self._settings, os.environ), self._settings.namespace)
        try:
            return await find_problems(api, self._settings.server or server_url)
        finally:
            await api.close()

    async def adopt(self, owned: Collection[AllocationRequest]) -> None:
        if not self._following:
            for watch in self._watches:
                await watch.list()
            self._following = [asyncio.create_task(watch.run()) for watch in self._watches]
        services = await self._api.list(SERVICES, {"labelSelector": f"{INSTALLATION}={self._setup.installation}"})
        found = {service["metadata"]["name"] for service in services.objects} | set(self._observed.views)
        for allocation in found - {request.id for request in owned}:
            await self.release(allocation)

    async def request(self, request: AllocationRequest) -> None:
        view = self._observed.view(request.id)
        if view.job is not None:
            return
        seats = self._seats(request.id, request.job, request.spec)
        try:
            service = await self._service(manifests.service(seats))
            await self._made(SECRETS, manifests.secret(seats, request.token, service))
            job = await self._made(JOBS, manifests.job(seats, service))
        except Refusal as refusal:
            raise InvalidInput(f"Kubernetes refuses allocation {request.id}: {refusal}") from refusal
        if job is not None:
            self._observed.job_seen(job)

    async def replace(self, allocation: str, seat: int, start: str | None) -> None:
        view = self._observed.view(allocation)
        pods = view.seat_pods(seat)
        others = [pod for pod in pods if pod.active and pod.uid != start]
        if view.job is None or (start is None and any(not pod.running for pod in others)):
            return
        if start is not None and others:
            return
        try:
            for pod in pods:
                if pod.active:
                    await self._api.delete(PODS, pod.name, uid=pod.uid)
            self._observed.pod_seen(await self._api.create(PODS, manifests.pod(view.job, seat)))
        except Refusal as refusal:
            raise InvalidInput(f"Kubernetes refuses another pod for allocation {allocation}: {refusal}") from refusal

    async def release(self, allocation: str) -> None:
        self._observed.releasing(allocation)
        try:
            job_existed = await self._api.delete(JOBS, allocation)
            await self._api.delete(SERVICES, allocation)
        except Refusal as refusal:
            raise InvalidInput(f"Kubernetes does not release allocation {allocation}: {refusal}") from refusal
        self._observed.released(allocation, job_existed=job_existed)

    async def observe(self) -> AsyncIterator[Observation]:
        while True:
            observation = await self._observations.get()
            if isinstance(observation, Over) and observation.sentence:
                with suppress(Unavailable, Refusal):  # deletes the rest of it now, not only at the next start
                    await self._api.delete(SERVICES, observation.allocation)
            yield observation

    def competes(self, spec: JobSpec) -> str:
        pod, given = spec.pod or Pod(), self._defaults
        labels = {**given.node_selector, **pod.node_selector}
        return repr((sorted({*given.resources, *pod.resources}), sorted(labels.items())))

    async def _made(self, resource: Resource, manifest: Object) -> Object | None:
        """Create the object. None if it already existed."""
        try:
            return await self._api.create(resource, manifest)
        except Refusal as refusal:
            if refusal.status != httpx.codes.CONFLICT:
                raise
            return None

    async def _service(self, manifest: Object) -> Object:
        made = await self._made(SERVICES, manifest)
        return made if made is not None else await self._api.get(SERVICES, manifest["metadata"]["name"])

    def _seats(self, allocation: str, job: str, spec: JobSpec) -> Seats:
        """The inputs of the manifests. Raises InvalidInput for a job without an image."""
        pod = with_defaults(spec.pod or Pod(), self._defaults)
        image = pod.image or self._settings.image
        if image is None:
            raise InvalidInput(
                "pod.image is missing, and HEADWAY_ENGINE_URLS names no image for all jobs: give one that has Headway "
                "in it."
            )
        grace = f"{self._settings.grace_seconds:g}"
        count, slots = seats_of(spec)
        command = (
            "headway", "worker", "--allocation", "--seat", "$(JOB_COMPLETION_INDEX)", "--start", "$(POD_UID)",
            "--server", self._settings.server or self._setup.server_url, "--token-file", f"{TOKEN_FOLDER}/{TOKEN_KEY}",
            "--home", f"{HOME}/worker", "--slots", str(slots), "--grace-seconds", grace,
        )  # fmt: skip
        grace_seconds = self._settings.grace_seconds
        return Seats(allocation, self._setup.installation, job, count, pod, image, command, grace_seconds)
