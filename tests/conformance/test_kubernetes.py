"""The Kubernetes engine with a real cluster: what it makes, what it says of it, and what it leaves when it is over.

The pods' program is a shell script in place of a worker. Tests of whole jobs are in tests/e2e.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.core.allocation import Over, SeatEndCause, SeatEnded, SeatUp, WaitingCause
from headway.engines.base import EngineSetup
from headway.engines.kubernetes.api import Api
from headway.engines.kubernetes.cluster_access import from_kubeconfig
from headway.engines.kubernetes.engine import KubernetesEngine
from headway.engines.kubernetes.role import ROLE, manifests
from headway.errors import InvalidInput, SettingInvalid
from tests.cluster import Namespace, cluster_lock, engine_url, new_namespace, program, until
from tests.conformance.engine_sites import site_of
from tests.engines import Told, leading
from tests.kubernetes_engine import behaviour, request, running, waits_for

pytestmark = [pytest.mark.anyio, pytest.mark.kubernetes, pytest.mark.timeout(900)]  # they wait for the cluster


@pytest.fixture
def namespace() -> Any:
    with cluster_lock(alone=False), new_namespace() as made:
        yield made


async def test_a_pod_is_confined_and_an_allocation_costs_few_requests(namespace: Namespace, tmp_path: Path) -> None:
    wanted = request("a-one", 2, memory="64Mi", cpu="0.1", volumes=[{"path": "/scratch", "size": "1Gi"}])
    async with running(namespace, tmp_path) as (engine, told):
        before = engine.requests
        await engine.request(wanted)
        starts = await told.up(2)
        pod = next(pod for pod in namespace.objects("pods") if pod["metadata"]["uid"] == starts[0])
        await asyncio.to_thread(check_confined, namespace, pod)
        await engine.release("a-one")
        assert await told.next(Over) == Over("a-one")
        assert engine.requests - before <= 15


def check_confined(namespace: Namespace, pod: dict[str, Any]) -> None:
    """What the pod's program may do, and what it was told."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert "a-token" not in json.dumps(pod)
    security = spec["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["allowPrivilegeEscalation"] is False
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    script = "cat /run/headway/token; echo; touch /usr/x /headway/x /tmp/x /scratch/x; echo $HOME"
    said = namespace.kubectl("exec", name, "--", "sh", "-c", f"({script}) 2>&1").splitlines()
    assert said[0] == "a-token"
    assert said[1].endswith("Read-only file system")
    assert said[2:] == ["/headway"]
    words = namespace.kubectl("logs", name)
    assert words.startswith("started by 1000 with worker --allocation ")
    assert f"--seat 0 --start {pod['metadata']['uid']} --server http://127.0.0.1:1" in words


async def test_seats_that_end_are_told_with_their_cause_and_replaced_at_once(
    namespace: Namespace, tmp_path: Path
) -> None:
    namespace.behave("fail")
    namespace.behave("eat")
    async with running(namespace, tmp_path) as (engine, told):
        await engine.request(request("a-deleted", 2))
        starts = await told.up(2)
        victim = next(pod for pod in namespace.objects("pods") if pod["metadata"]["uid"] == starts[1])
        namespace.kubectl("delete", "pod", victim["metadata"]["name"], "--wait=false")
        ended = await told.next(SeatEnded)
        assert (ended.seat, ended.start, ended.cause, ended.certain) == (1, starts[1], SeatEndCause.DELETED, True)
        began = time.monotonic()
        await engine.replace("a-deleted", 1, starts[1])
        assert time.monotonic() - began < 3
        assert (await told.next(SeatUp)).seat == 1

        await engine.request(request("a-fails", 1, **behaviour("fail")))
        ended = await told.next(SeatEnded, lambda one: one.allocation == "a-fails")
        assert ended.cause is SeatEndCause.EXITED
        assert "exit code 3" in ended.sentence
        assert "no such token" in ended.sentence, "with its last lines"

        await engine.request(request("a-eats", 1, memory="100Mi", **behaviour("eat")))
        ended = await told.next(SeatEnded, lambda one: one.allocation == "a-eats")
        assert ended.cause is SeatEndCause.OUT_OF_MEMORY
        assert "pod.memory" in ended.sentence

        await engine.request(request("a-plain", 1, image="headway/none"))
        ended = await told.next(SeatEnded, lambda one: one.allocation == "a-plain")
        assert ended.cause is SeatEndCause.NOT_JOINED
        assert "headway/none does not start Headway" in ended.sentence


class Died(BaseException):
    """The server dies here."""


def die_after(engine: KubernetesEngine, requests: int) -> None:
    """The server sends so many requests more."""
    send, left = Api._send, requests

    async def sending(*words: Any, **more: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Died
        left -= 1
        return await send(engine._api, *words, **more)

    engine._api._send = sending  # type: ignore[method-assign]


async def test_a_server_that_dies_between_any_two_requests_makes_nothing_twice(
    namespace: Namespace, tmp_path: Path
) -> None:
    wanted = tuple(request(f"a-{requests}") for requests in range(4))
    ids = {one.id for one in wanted}
    async with running(namespace, tmp_path) as (engine, _):
        for requests, one in enumerate(wanted):  # a Service, a Secret, a Job
            die_after(engine, requests)
            with suppress(Died):
                await engine.request(one)
    async with running(namespace, tmp_path, owned=wanted) as (engine, told):
        for one in wanted:
            await engine.request(one)
        starts = await starts_of(told, ids)
        for requests, one in enumerate(wanted):  # the old pod goes, a new one comes
            die_after(engine, requests)
            with suppress(Died):
                await engine.replace(one.id, 0, starts[one.id])
    async with running(namespace, tmp_path, owned=wanted) as (engine, told):
        for one in wanted:
            await engine.request(one)
            await engine.replace(one.id, 0, starts[one.id])
        again = await starts_of(told, ids, other_than=set(starts.values()))
        seats = site_of(engine_url(namespace), tmp_path)
        for one in wanted:
            assert await asyncio.to_thread(seats.starts, one.id) == {again[one.id]}
        for requests, one in enumerate(wanted):  # the Job goes, the Service goes
            die_after(engine, requests)
            with suppress(Died):
                await engine.release(one.id)
    async with running(namespace, tmp_path):
        await asyncio.to_thread(until, lambda: not namespace.objects("pods,jobs,services,secrets"))


async def starts_of(told: Told, allocations: set[str], other_than: set[str] = frozenset()) -> dict[str, str]:
    """The starts of the only seats of these allocations."""
    found: dict[str, str] = {}
    while set(found) != allocations:
        seen = await told.next(SeatUp, lambda one: one.start not in other_than)
        assert seen.allocation not in found, "its seat was started twice"
        found[seen.allocation] = seen.start
    return found


async def test_why_pods_do_not_start_is_told_in_kubernetes_words(namespace: Namespace, tmp_path: Path) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    cases = {
        "a-room": ({"resources": {"nvidia.com/gpu": 64}}, WaitingCause.ROOM, "Insufficient nvidia.com/gpu"),
        "a-image": ({"image": "missing/image:1"}, WaitingCause.IMAGE, "missing/image:1"),
        "a-claim": (
            {"volumes": [{"path": "/data", "claim": "no-claim"}]},
            WaitingCause.MISSING,
            '"no-claim" not found',
        ),
        "a-secret": (behaviour("nothing"), WaitingCause.MISSING, '"toy-nothing" not found'),
        "a-account": ({"service_account": "nobody"}, WaitingCause.MISSING, '"nobody" not found'),
    }
    async with running(namespace, tmp_path) as (engine, told):
        for allocation, (pod, _, _) in cases.items():
            await engine.request(request(allocation, 1, **pod))
        for allocation, (_, cause, words) in cases.items():
            assert words in (await waits_for(told, allocation, cause)).sentence
        for allocation in cases:
            await engine.release(allocation)
        namespace.apply({**quota, "spec": {"hard": {"pods": "1"}}})
        await engine.request(request("a-quota", 2))
        waiting = await waits_for(told, "a-quota", WaitingCause.QUOTA)
        assert "exceeded quota: small" in waiting.sentence


async def test_a_job_that_others_delete_is_over(namespace: Namespace, tmp_path: Path) -> None:
    async with running(namespace, tmp_path) as (engine, told):
        await engine.request(request("a-gone"))
        await told.up(1)
        namespace.kubectl("delete", "job", "a-gone", "--wait=false")
        assert (await told.next(SeatEnded)).cause is SeatEndCause.DELETED
        assert "deleted in Kubernetes, not by Headway" in (await told.next(Over)).sentence
    assert namespace.objects("services") == [], "nothing of it is left"


async def test_bad_pods_are_refused_at_submission(namespace: Namespace, tmp_path: Path) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    namespace.apply({**quota, "spec": {"hard": {"limits.memory": "1Gi"}}})
    bad = {
        "pod.service_account": {"memory": "10Mi", "service_account": "nobody"},
        "pod.priority_class": {"memory": "10Mi", "priority_class": "nothing"},
        "pod.cpu and pod.memory: the pod ask": {"memory": "2Gi"},
        "pod.cpu and pod.memory: Kubernetes": {},
        "pod.affinity": {
            "memory": "10Mi",
            "affinity": {"nodeAffinity": {"nothing": 1, "requiredDuringSchedulingIgnoredDuringExecution": {}}},
        },
    }
    async with running(namespace, tmp_path) as (engine, _):
        for words, pod in bad.items():
            with pytest.raises(InvalidInput) as error:
                await engine.check(request("a-x", 1, **pod).spec)
            assert str(error.value).startswith(words)
        await engine.check(request("a-x", 1, memory="10Mi").spec)
    (tmp_path / "pod.yaml").write_text("memory: 10Mi\nservice_account: nobody\n")
    url = engine_url(namespace, pod=str(tmp_path / "pod.yaml"), fixed="service_account")
    async with leading(url, tmp_path) as (engine, _):
        with pytest.raises(InvalidInput, match=r"pod\.service_account: the administrators"):
            await engine.check(request("a-x", 1, service_account="other").spec)
        with pytest.raises(InvalidInput, match="nobody"):
            await engine.check(request("a-x", 1).spec)
    assert namespace.objects("jobs") == [], "nothing was made"


async def test_a_missing_verb_is_named(namespace: Namespace, tmp_path: Path) -> None:
    for manifest in manifests(namespace.name, "headway"):
        namespace.apply(manifest)
    limited = as_account(namespace, "headway", tmp_path)
    url = engine_url(Namespace(namespace.name, limited))
    setup = EngineSetup(installation="i-1", server_url="http://127.0.0.1:1", folder=tmp_path)
    role = manifests(namespace.name, "headway")[1]
    admin = from_kubeconfig(namespace.kubeconfig, None)
    path = f"/apis/{role['apiVersion']}/namespaces/{namespace.name}/roles/headway"
    http = httpx.Client(base_url=admin.url, verify=admin.tls)
    engine = KubernetesEngine(url)
    await engine.open(setup)
    await engine.adopt(())
    await engine.close()
    for resource, verbs in ROLE.items():
        for verb in verbs:
            rules = [
                {
                    **rule,
                    "verbs": [one for one in rule["verbs"] if one != verb or rule["resources"] != [resource.plural]],
                }
                for rule in role["rules"]
            ]
            changed = {**role, "rules": [rule for rule in rules if rule["verbs"]]}
            http.put(path, json=changed).raise_for_status()
            await refused(url, setup, f"let Headway {verb} {resource.full_name} in namespace {namespace.name}")
    (problem,) = await KubernetesEngine(url).problems("http://10.0.0.5:8420")
    assert (problem.what, problem.cure) == (
        f"Kubernetes does not let Headway watch events in namespace {namespace.name}.",
        f"headway kubernetes role --namespace {namespace.name} | kubectl apply -f -",
    )
    http.close()


async def test_the_doctor_finds_a_missing_namespace_and_a_server_that_no_pod_reaches(namespace: Namespace) -> None:
    assert await KubernetesEngine(engine_url(namespace)).problems("http://10.0.0.5:8420") == []
    engine = KubernetesEngine(engine_url(Namespace("not-there", namespace.kubeconfig)))
    absent, loopback = await engine.problems("http://localhost:8420")
    assert absent == ("Namespace not-there does not exist.", "kubectl create namespace not-there")
    assert loopback.what.startswith("Pods cannot reach the server at http://localhost:8420")


async def refused(url: str, setup: EngineSetup, words: str) -> None:
    """The engine's start is, once the API server has heard of the changed role."""
    for _ in range(50):
        engine = KubernetesEngine(url)
        try:
            await engine.open(setup)
        except SettingInvalid as error:
            if words in str(error):
                return
        finally:
            await engine.close()
        await asyncio.sleep(0.1)
    raise AssertionError(f"the start was not refused with: {words}")


def as_account(namespace: Namespace, account: str, folder: Path) -> Path:
    """A kubeconfig file of a service account."""
    config = json.loads(program("kubectl", "config", "view", "--raw", "-o", "json"))
    token = namespace.kubectl("create", "token", account).strip()
    config["users"] = [{"name": "account", "user": {"token": token}}]
    for context in config["contexts"]:
        context["context"]["user"] = "account"
    path = folder / "limited.json"
    path.write_text(json.dumps(config))
    return path
