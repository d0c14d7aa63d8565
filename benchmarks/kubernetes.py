"""Many jobs on Kubernetes: requests to its API per job, time from a submission to its Job, and the server's memory.

It needs HEADWAY_SERVICES. The pods run on a node that exists only as an object: this benchmark says that they run, and
that they have ended. So they cost no processors, and their workers never register.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from headway.engines.kubernetes.cluster_access import from_kubeconfig
from tests.cluster import Namespace, cluster_lock, engine_url, new_namespace
from tests.fleet import Fleet, free_port, wait_until
from tests.services import FOLDER

RUNNING, QUEUED = 50, 500


class Cluster:
    """The API as an administrator, and a node without a machine."""

    def __init__(self, namespace: Namespace) -> None:
        access = from_kubeconfig(namespace.kubeconfig, None)
        self._http = httpx.Client(base_url=access.url, verify=access.tls, timeout=30)
        self._pods = f"/api/v1/namespaces/{namespace.name}/pods"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace.name}/jobs"
        self.node = f"paper-{secrets.token_hex(3)}"

    def add_node(self) -> None:
        capacity = {"cpu": "1000", "memory": "1000Gi", "pods": str(RUNNING)}
        taint = {"key": self.node, "effect": "NoSchedule"}
        node = {"kind": "Node", "metadata": {"name": self.node, "labels": {"paper": self.node}}}
        self._send("POST", "/api/v1/nodes", {**node, "spec": {"taints": [taint]}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": None}
        status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}
        self._send("PATCH", f"/api/v1/nodes/{self.node}/status", {"status": status})

    def remove_node(self) -> None:
        self._send("DELETE", f"/api/v1/nodes/{self.node}", {})

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._http.get(self._jobs).json()["items"]
        return found

    def play_kubelet(self) -> int:
        """Pods on the node run at once, and end at once; how many run."""
        count = 0
        for pod in self._http.get(self._pods, params={"fieldSelector": f"spec.nodeName={self.node}"}).json()["items"]:
            path = f"{self._pods}/{pod['metadata']['name']}"
            if "deletionTimestamp" in pod["metadata"]:
                self._send("DELETE", path, {"gracePeriodSeconds": 0})
                continue
            count += 1
            if pod["status"]["phase"] == "Pending":
                state = {"running": {"startedAt": None}}
                container = {"name": "worker", "image": "i", "imageID": "", "ready": True, "restartCount": 0}
                status = {"phase": "Running", "containerStatuses": [{**container, "state": state}]}
                self._send("PATCH", f"{path}/status", {"status": status})
        return count

    def _send(self, verb: str, path: str, body: dict[str, Any]) -> None:
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        answer = self._http.request(verb, path, content=json.dumps(body), headers={"Content-Type": kind})
        if answer.status_code not in (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT):
            answer.raise_for_status()


class CountedApi:
    """The API over plain HTTP on a port of its own, and how many requests came."""

    _MARK = b" HTTP/1.1\r\n"

    def __init__(self, target: int) -> None:
        self.port, self._target = free_port(), target
        self.requests = 0
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        await server.serve_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(
            self._forward(reader, their_writer, count=True), self._forward(their_reader, writer, count=False)
        )

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        last = b""
        while chunk := await reader.read(1 << 16):
            if count:
                seen = last + chunk
                self.requests += seen.count(self._MARK)
                last = seen[-len(self._MARK) + 1 :]
            writer.write(chunk)
            await writer.drain()
        writer.close()


@contextmanager
def counted_api(namespace: Namespace, folder: Path) -> Iterator[tuple[CountedApi, Path]]:
    """`kubectl proxy` behind a counter, and the kubeconfig file for it."""
    port = free_port()
    cluster = Path(str(FOLDER)) / "kubernetes" / "cluster"
    proxy = subprocess.Popen([str(cluster), "kubectl", "proxy", f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port), "kubectl proxy")
        api = CountedApi(port)
        place = {"name": "here"}
        config = {
            "current-context": "here",
            "contexts": [{**place, "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{**place, "cluster": {"server": f"http://127.0.0.1:{api.port}"}}],
            "users": [{**place, "user": {}}],
        }
        path = folder / "kubeconfig.json"
        path.write_text(json.dumps(config))
        wait_until(lambda: _answers(api.port), "the counter")
        yield api, path
    finally:
        for process in (*psutil.Process(proxy.pid).children(recursive=True), proxy):
            process.kill()
        proxy.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/version").is_success
    except httpx.HTTPError:
        return False


def main() -> None:
    """Print each figure in its unit."""
    with (
        tempfile.TemporaryDirectory() as name,
        cluster_lock(alone=True),
        new_namespace() as namespace,
        counted_api(namespace, Path(name)) as (api, kubeconfig),
    ):
        cluster = Cluster(namespace)
        cluster.add_node()
        url = engine_url(Namespace(namespace.name, kubeconfig))
        try:
            with Fleet(Path(name), engine_urls=url) as fleet:
                fleet.start_server()
                result = _measure(fleet, cluster, api)
        finally:
            cluster.remove_node()
    print(json.dumps({"benchmark": "kubernetes", **result}, indent=2))


def _measure(fleet: Fleet, cluster: Cluster, api: CountedApi) -> dict[str, Any]:
    tolerated = {"key": cluster.node, "effect": "NoSchedule"}
    pod = {"memory": "64Mi", "cpu": "0.1", "node_selector": {"paper": cluster.node}, "tolerations": [tolerated]}
    body = {"command": ["true"], "engine": "kubernetes", "pod": pod}
    with fleet.client() as client:
        before = api.requests
        jobs = [client.submit(body) for _ in range(RUNNING)]
        wait_until(lambda: cluster.play_kubelet() == RUNNING, "the start of all pods")
        began_at = {job.id: job.data["created_at"] for job in jobs}
        waits = [_made_at(one) - began_at[one["metadata"]["labels"]["headway.io/job"]] for one in cluster.jobs()]
        jobs += [client.submit(body) for _ in range(QUEUED)]
        submitted = api.requests - before
        idle = api.requests
        time.sleep(30)
        idle = api.requests - idle
        megabytes = psutil.Process(fleet.processes["server"].pid).memory_info().rss / 1e6
        for job in reversed(jobs):
            job.cancel()

        def over() -> bool:
            cluster.play_kubelet()
            return cluster.jobs() == []

        wait_until(over, "the end of everything")
        return {
            "requests_per_running_job": round((api.requests - before - 2 * QUEUED) / RUNNING, 1),
            "requests_per_submission": round((submitted - 3 * RUNNING) / (RUNNING + QUEUED), 1),
            "requests_while_idle_30_seconds": idle,
            "seconds_to_job_at_most": round(max(waits), 1),  # Kubernetes gives whole seconds
            "seconds_to_job_median": round(statistics.median(waits), 1),
            "server_megabytes": round(megabytes),
        }


def _made_at(one: dict[str, Any]) -> float:
    return datetime.fromisoformat(one["metadata"]["creationTimestamp"]).timestamp()


if __name__ == "__main__":
    main()
