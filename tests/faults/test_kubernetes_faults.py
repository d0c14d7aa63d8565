"""What goes wrong in a cluster, as the engine of Kubernetes sees it: nodes, preemption, and an API that is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from headway.core.allocation import Over, SeatEndCause, SeatEnded, SeatUp, WaitingCause
from headway.engines.kubernetes.api import EVENTS, PODS, Api, Object, Refusal
from headway.engines.kubernetes.cluster_access import from_kubeconfig
from headway.engines.kubernetes.watch import Watch
from headway.errors import Unavailable
from tests.cluster import Namespace, cluster_lock, new_namespace, program, until
from tests.kubernetes_engine import behaviour, request, running, waits_for

pytestmark = [pytest.mark.anyio, pytest.mark.kubernetes, pytest.mark.timeout(900)]  # they wait for the cluster
PRIORITY = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 1000,
}


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """One for all tests here, which have the cluster for themselves."""
    with cluster_lock(alone=True), new_namespace() as made:
        yield made


def node_of(namespace: Namespace, start: str) -> str:
    pod = next(pod for pod in namespace.objects("pods") if pod["metadata"]["uid"] == start)
    return str(pod["spec"]["nodeName"])


async def test_drained_preempted_and_cut_off_pods_are_told_apart(namespace: Namespace, tmp_path: Path) -> None:
    namespace.apply(PRIORITY)
    async with running(namespace, tmp_path) as (engine, told):
        # Given a job that has all devices, when one of higher priority comes, then a pod is preempted for it.
        await engine.request(request("a-low", 2, resources={"nvidia.com/gpu": 2}))
        low = await told.up(2)
        await engine.request(request("a-high", 1, resources={"nvidia.com/gpu": 2}, priority_class="urgent"))
        ended = await told.next(SeatEnded)
        assert (ended.allocation, ended.cause, ended.certain) == ("a-low", SeatEndCause.PREEMPTED, True)
        high = await told.next(SeatUp)
        assert high.allocation == "a-high"
        await engine.replace("a-low", ended.seat, ended.start)
        assert "nvidia.com/gpu" in (await waits_for(told, "a-low", WaitingCause.ROOM)).sentence
        await engine.release("a-high")
        assert (await told.next(SeatUp)).allocation == "a-low", "there is room again"
        assert low[ended.seat] == ended.start
        await engine.release("a-low")
        await told.next(Over, lambda one: one.allocation == "a-low")

        # When its node is drained, then the pod is evicted, once its program has ended.
        await engine.request(request("a-one"))
        start = (await told.up(1))[0]
        node = node_of(namespace, start)
        drain = ("--force", "--delete-emptydir-data", "--ignore-daemonsets", "--pod-selector=headway.io/allocation")
        try:
            await asyncio.to_thread(program, "kubectl", "drain", node, *drain)
            ended = await told.next(SeatEnded)
            assert (ended.cause, ended.certain) == (SeatEndCause.EVICTED, True)
            await engine.replace("a-one", 0, start)
            start = (await told.next(SeatUp)).start
            assert node_of(namespace, start) != node
        finally:
            program("kubectl", "uncordon", node)

        # Its node may be cut off and declared lost. Then the pod may run on, and another takes the seat.
        node = node_of(namespace, start)
        program("node", "pause", node)
        try:
            program("kubectl", "taint", "node", node, "test/away:NoExecute")
            ended = await told.next(SeatEnded)
            assert (ended.start, ended.cause, ended.certain) == (start, SeatEndCause.NODE_LOST, False)
            await engine.replace("a-one", 0, start)
            again = await told.next(SeatUp)
            assert node_of(namespace, again.start) != node
            await engine.release("a-one")
            await asyncio.sleep(1)
            assert Over("a-one") not in told.all, "the pod on the other node is still there"
        finally:
            program("node", "resume", node)
            program("kubectl", "taint", "node", node, "test/away:NoExecute-")
        await told.next(Over, lambda one: one.allocation == "a-one")
    until(lambda: namespace.objects("pods") == [])


async def test_a_seat_on_a_node_without_power_is_filled_elsewhere_at_once(namespace: Namespace, tmp_path: Path) -> None:
    """The lease decides that its worker is lost, and nothing waits for the node."""
    async with running(namespace, tmp_path) as (engine, told):
        await engine.request(request("a-two"))
        start = (await told.up(1))[0]
        node = node_of(namespace, start)
        program("node", "kill", node)
        try:
            program("kubectl", "cordon", node)  # as the cluster does once it has noticed
            await engine.replace("a-two", 0, start)
            again = await told.next(SeatUp)
            assert (again.seat, node_of(namespace, again.start) != node) == (0, True)
            await engine.release("a-two")
        finally:
            program("node", "start", node)
            program("kubectl", "uncordon", node)
        await told.next(Over, lambda one: one.allocation == "a-two")
    until(lambda: namespace.objects("pods") == [])


async def test_an_api_that_is_away_costs_time_only(namespace: Namespace, tmp_path: Path) -> None:
    namespace.behave("brief")
    async with running(namespace, tmp_path) as (engine, told):
        await engine.request(request("a-brief", **behaviour("brief")))
        await engine.request(request("a-waits", resources={"nvidia.com/gpu": 64}))
        await told.up(1)
        await waits_for(told, "a-waits", WaitingCause.ROOM)
        program("component", "kill", "apiserver")
        try:
            with pytest.raises(Unavailable):
                await engine.request(request("a-new"))
            assert "does not answer" in (await waits_for(told, "a-waits", WaitingCause.ENGINE)).sentence
            await asyncio.sleep(2)  # the pod ends meanwhile
        finally:
            program("component", "start", "apiserver")
        ended = await told.next(SeatEnded)
        assert (ended.allocation, ended.cause) == ("a-brief", SeatEndCause.EXITED)
        await waits_for(told, "a-waits", WaitingCause.ROOM)
        for allocation in ("a-brief", "a-waits"):
            await engine.release(allocation)
        assert {(await told.next(Over)).allocation, (await told.next(Over)).allocation} == {"a-brief", "a-waits"}


class Lists:
    def __init__(self) -> None:
        self.count = 0
        self.troubles: list[str] = []

    def listing(self) -> None:
        pass

    def listed(self, objects: Sequence[Object]) -> None:
        self.count += 1

    def changed(self, seen: Object) -> None:
        pass

    def deleted(self, last: Object) -> None:
        pass

    def troubled(self, sentence: str | None) -> None:
        if sentence is not None:
            self.troubles.append(sentence)


@contextmanager
def frozen_api_server() -> Iterator[None]:
    line = next(line for line in program("status").splitlines() if line.startswith("apiserver"))
    pid = int(line.split()[-1])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_silent_watch_and_one_whose_place_is_gone_are_noticed(namespace: Namespace) -> None:
    api = Api(from_kubeconfig(namespace.kubeconfig, None), namespace.name)
    with pytest.raises(Refusal) as gone:
        async for _ in api.watch(PODS, {}, "1", 30):
            pass
    assert gone.value.status == 410
    lists = Lists()
    following = asyncio.create_task(Watch(api, PODS, {}, lists, silence_seconds=2).run())
    events = Lists()
    quiet = Watch(api, EVENTS, {"fieldSelector": "type=Nothing"}, events, silence_seconds=2, lasting_seconds=1)
    following_events = asyncio.create_task(quiet.run())
    try:
        await asyncio.sleep(3)
        assert (events.count, events.troubles) == (1, []), "a kind without bookmarks is silent for as long as it likes"
        following_events.cancel()
        with frozen_api_server():
            await asyncio.sleep(3)
            assert any("does not answer" in trouble for trouble in lists.troubles)
            before = lists.count
        for _ in range(200):
            if lists.count > before:
                break
            await asyncio.sleep(0.1)
        assert lists.count > before, "it follows again"
    finally:
        following.cancel()
        await api.close()
