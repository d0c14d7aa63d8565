"""Every route, called by every kind of caller, for its own objects, those of others, and absent ones.

A kind of caller that is never allowed the action is refused, whatever it names. For an object that a caller may not
see, the answer is byte for byte the one for an absent object.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.core.facts import ArtifactStored, CheckpointPartStored, RankStarted
from headway.core.job import JobSpec
from headway.server.access import Caller, CallerKind
from headway.server.app import API_PREFIX, guarded_routes
from headway.server.server import Server
from headway.server.services import inquiries
from headway.settings import Settings
from tests.api.conftest import PROJECT, SCRIPT, USER, Api, opened
from tests.api.test_jobs import eventually
from tests.api.test_projects import a_dataset, once, send
from tests.new_job import new_job

pytestmark = pytest.mark.anyio

ROUTES = {
    "POST /jobs": "user",
    "POST /jobs/plan": "user",
    "GET /jobs": "user",
    "GET /jobs/{job}": "user",
    "PATCH /jobs/{job}": "user",
    "GET /jobs/{job}/attempts": "user",
    "GET /jobs/{job}/goodput": "user",
    "GET /jobs/{job}/follow": "user",
    "GET /jobs/{job}/events": "user",
    "GET /jobs/{job}/logs": "user",
    "GET /jobs/{job}/metrics": "user",
    "GET /jobs/{job}/artifacts": "user",
    "GET /jobs/{job}/artifacts/{name}": "user",
    "GET /jobs/{job}/checkpoints": "user",
    "GET /jobs/{job}/checkpoints/{step}": "user",
    "GET /jobs/{job}/checkpoints/{step}/{rank}": "user rank",
    "GET /jobs/{job}/attempts/{attempt}/checkpoints/{from_attempt}/{step}/{rank}": "user rank",
    "PUT /jobs/{job}/attempts/{attempt}/checkpoints/{step}/{rank}": "rank",
    "PUT /jobs/{job}/attempts/{attempt}/artifacts/{name}": "rank",
    "POST /jobs/{job}/rerun": "user",
    "POST /jobs/{job}/rerun/plan": "user",
    "POST /jobs/{job}/exec": "user",
    "POST /jobs/{job}/stacks": "user",
    "GET /events": "user",
    "GET /goodput": "user",
    "GET /trainers": "user",
    "GET /datasets": "user",
    "GET /datasets/{dataset}": "user",
    "POST /datasets/missing": "user",
    "POST /datasets": "user",
    "PUT /blocks/{sha256}": "user",
    "GET /blocks/{sha256}": "user worker",
    "PUT /snapshots/{sha256}": "user",
    "HEAD /snapshots/{sha256}": "user worker",
    "GET /snapshots/{sha256}": "user worker",
    "GET /damaged": "user",
    "DELETE /damaged/{kind}/{row}": "user",
    "GET /tokens": "user",
    "POST /links": "user",
    "POST /workers": "join",
    "GET /workers": "user",
    "POST /workers/{name}/drain": "user",
    "POST /workers/{name}/undrain": "user",
    "POST /workers/{name}/restore": "user",
    "POST /workers/{worker}/heartbeat": "worker",
    "POST /workers/{worker}/ended-jobs": "worker",
    "POST /workers/{worker}/inquiries/{inquiry}": "worker",
    "POST /workers/{worker}/assignments/{assigned_job}/{assigned_attempt}/claim": "worker",
    "POST /workers/{worker}/assignments/{assigned_job}/{assigned_attempt}/refuse": "worker",
    "POST /jobs/{job}/pause": "user",
    "POST /jobs/{job}/resume": "user",
    "POST /jobs/{job}/cancel": "user",
    "DELETE /jobs/{job}": "user",
    "DELETE /workers/{worker}": "worker",
}
"""The kinds of callers that may use each route. Routes that end an object come after those that need it."""
ENDLESS = {"GET /jobs/{job}/follow", "GET /events"}
"""Routes whose answer ends only with the job or the server. They are not called where they are allowed."""
NOTHING_THERE = {"POST /workers/{worker}/inquiries/{inquiry}", "DELETE /damaged/{kind}/{row}"}
"""Routes for which the world has no object: there is no inquiry and no damaged row."""
WORKER = {"name": "one", "slots": 1, "threads_per_slot": 1, "host": "127.0.0.1", "port": 9}
BODIES: dict[str, Any] = {
    "POST /jobs": SCRIPT,
    "POST /jobs/plan": SCRIPT,
    "PATCH /jobs/{job}": {},
    "POST /jobs/{job}/rerun": {},
    "POST /jobs/{job}/rerun/plan": {},
    "POST /jobs/{job}/exec": {"command": ["ls"], "timeout_seconds": 0.01},
    "POST /datasets/missing": [],
    "POST /workers": {"worker": WORKER},
    "POST /workers/{worker}/heartbeat": {"counter": 0, "last_answer": -1},
    "POST /workers/{worker}/ended-jobs": {"jobs": []},
    "POST /workers/{worker}/inquiries/{inquiry}": {"output": "x"},
    "POST /workers/{worker}/assignments/{assigned_job}/{assigned_attempt}/claim": {"endpoint": "127.0.0.1:1"},
}
CODE, OTHER_CODE = b"code", b"other code"
FIXED = {"attempt": "1", "assigned_attempt": "1", "from_attempt": "1", "step": "1", "rank": "0", "kind": "job"}
ABSENT = {
    "job": "j-aaaaaaaaaaaa",
    "assigned_job": "j-aaaaaaaaaaaa",
    "worker": "w-aaaaaaaaaaaa",
    "dataset": "nothing",
    "sha256": "0" * 64,
    "row": "j-aaaaaaaaaaaa",
}


@dataclass
class World:
    """A running job in the callers' project with its inputs and outputs, and the same in another project."""

    api: Api
    headers: dict[str, dict[str, str]]
    own: dict[str, str]
    others: dict[str, str]
    own_block: str
    others_block: str
    contents: dict[str, bytes]
    bodies: dict[str, Any]

    def names(self, route: str) -> tuple[dict[str, str], dict[str, str]]:
        """The names for the route's path: the caller's own objects, and those of others."""
        own, others = self.own, self.others
        if "/blocks/" in route:
            own, others = {**own, "sha256": self.own_block}, {**others, "sha256": self.others_block}
        return ({**own, "name": own["worker"]} if "/workers/{name}" in route else own), others

    async def ask(self, route: str, kind: str, names: Mapping[str, str]) -> httpx.Response:
        method, path = route.split()
        content: dict[str, Any] = {"json": self.bodies[route]} if route in self.bodies else {}
        if route in self.contents:
            content = {"content": self.contents[route]}
        address = API_PREFIX + path.format(**{**FIXED, **names})
        return await self.api.http.request(method, address, headers=self.headers[kind], **content)


def with_name(answer: httpx.Response, name: str, other: str) -> str:
    """The answer with another name in it. Answers show the first 12 digits of a hash."""
    return answer.text.replace(name, other).replace(name[:12], other[:12])


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(inquiries, "_ANSWER_SECONDS", 0.0)
    patient = Settings(home=tmp_path / "home", lease_seconds=1e6, stop_timeout_seconds=1e6)
    async with opened(Server(patient)) as api:  # no worker is lost however long the walk takes
        yield await a_world(api)


async def a_world(api: Api) -> World:
    server, worker = api.server, await api.worker(slots=1)
    code, others_code = (hashlib.sha256(one).hexdigest() for one in (CODE, OTHER_CODE))
    await server.snapshots.store(USER, PROJECT, code, once(CODE))
    spec = {"source": None, "snapshot": code, "data": "digits", "name": "mine"}
    job = (await api.submit(**spec))["id"]
    await eventually(api, "mine", "starting")
    rank = {"Authorization": f"Bearer {(await worker.claim(job)).json()['rank_token']}"}
    root = f"/api/v1/jobs/{job}/attempts/1"
    assert (await api.http.put(f"{root}/checkpoints/1/0", content=b"state", headers=rank)).status_code == 204
    artifact = (await api.http.put(f"{root}/artifacts/model.pt", content=b"x", headers=rank)).json()
    started = RankStarted(rank=0, pid=1), CheckpointPartStored(step=1, rank=0), ArtifactStored(artifact=artifact)
    await server.recorder.record([worker.a_report(job, *started)])
    digits = await server.datasets.find(PROJECT, "digits")
    block = digits.splits["train"].blocks[0].sha256

    theirs = new_job(JobSpec(script="s.py", source="")).model_copy(update={"project": "other", "name": "theirs"})
    await server.jobs.insert(theirs)
    await server.snapshots.store(USER, "other", others_code, once(OTHER_CODE))
    dataset, blocks = a_dataset("their-data")
    await send(server, "other", blocks)
    await server.datasets.add(USER, "other", dataset)
    another = await api.worker(slots=1)
    return World(
        api=api,
        headers={
            "user": api.headers(USER),
            "join": api.headers(Caller(CallerKind.JOIN)),
            "rank": rank,
            "worker": worker.headers,
        },
        own={
            "job": job,
            "assigned_job": job,
            "worker": worker.id,
            "dataset": "digits",
            "sha256": code,
            "name": "model.pt",
            "inquiry": "q-none",
            "row": job,
        },
        others={
            "job": theirs.id,
            "assigned_job": theirs.id,
            "worker": another.id,
            "dataset": dataset.name,
            "sha256": others_code,
            "row": theirs.id,
        },
        own_block=block,
        others_block=blocks[0][0].sha256,
        contents={
            "PUT /snapshots/{sha256}": CODE,
            "PUT /blocks/{sha256}": await server.blocks.read(block),
            "PUT /jobs/{job}/attempts/{attempt}/artifacts/{name}": b"x",
            "PUT /jobs/{job}/attempts/{attempt}/checkpoints/{step}/{rank}": b"state",
        },
        bodies={**BODIES, "POST /datasets": {**digits.model_dump(), "name": "copy"}},
    )


def test_the_table_has_every_route() -> None:
    assert set(ROUTES) == {f"{method} {route.path_format}" for route in guarded_routes() for method in route.methods}


async def test_each_kind_of_caller_reaches_only_its_own_objects(world: World) -> None:
    for route, kinds in ROUTES.items():
        for kind in world.headers:
            await check_others(world, route, kind, allowed=kind in kinds.split())
            if kind in kinds.split() and route not in ENDLESS:
                own = (await world.ask(route, kind, world.names(route)[0])).status_code
                assert (own in (401, 403, 404, 500)) is (route in NOTHING_THERE), (route, kind, own)


async def check_others(world: World, route: str, kind: str, *, allowed: bool) -> None:
    """Objects of others get the same answer as absent ones. A kind that is never allowed gets one answer for all.

    A caller that sends bytes with another hash gets that error, whether or not others have the object.
    """
    own, others = world.names(route)
    expected = 403 if not allowed else 422 if "{sha256}" in route and route.startswith("PUT") else 404
    for name in [name for name in others if f"{{{name}}}" in route]:
        theirs, absent = [await world.ask(route, kind, {**own, name: one[name]}) for one in (others, ABSENT)]
        same = with_name(theirs, others[name], ABSENT[name])
        assert (theirs.status_code, same) == (absent.status_code, absent.text), (route, kind, name)
        assert theirs.status_code == expected, (route, kind, name, theirs.text)
    if not allowed:
        assert (await world.ask(route, kind, own)).status_code == 403, (route, kind)


async def test_specs_cannot_name_objects_of_another_project(world: World) -> None:
    """Given a spec that names another project's job, snapshot or dataset, it is refused like one that names an absent
    one.
    """
    job, code = world.others["job"], world.others["sha256"]
    for theirs, absent, fields in (
        (f"{job}@1", f"{ABSENT['job']}@1", {**SCRIPT, "from_checkpoint": "X"}),
        ("theirs", "nothing", {**SCRIPT, "from_checkpoint": "X"}),
        (code, ABSENT["sha256"], {"script": "s.py", "snapshot": "X"}),
        (world.others["dataset"], "nothing", {**SCRIPT, "data": "X"}),
    ):
        for path in ("/jobs", "/jobs/plan"):
            answers = []
            for name in (theirs, absent):
                spec = {field: name if value == "X" else value for field, value in fields.items()}
                answers.append(await world.api.http.post(API_PREFIX + path, json=spec))
            if path == "/jobs/plan" and "from_checkpoint" in fields:
                continue  # a plan does not check the checkpoint
            same = with_name(answers[0], theirs.partition("@")[0], absent.partition("@")[0])
            assert (answers[0].status_code, same) == (answers[1].status_code, answers[1].text)
            assert answers[0].status_code in (404, 422)


async def test_a_rank_reads_checkpoints_of_its_own_job_and_its_origin_only(world: World) -> None:
    """Given a part that exists, then naming its job as the source is not enough: the rank's job must start from it."""
    root = f"{API_PREFIX}/jobs/{world.own['job']}/attempts/1/checkpoints/1/1/0"
    answers = [
        await world.api.http.get(root, params={"source": source}, headers=world.headers["rank"])
        for source in (world.others["job"], ABSENT["job"])
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text == answers[1].text
    assert (await world.api.http.get(root, headers=world.headers["rank"])).content == b"state"


async def test_an_answer_without_a_decision_is_a_defect_and_is_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a service that forgets to check access."""

    async def forgetful(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(world.api.server.checkpoints, "list_parts", forgetful)
    answer = await world.ask("GET /jobs/{job}/checkpoints/{step}", "user", world.own)
    assert answer.status_code == 500


async def test_names_and_keys_are_unique_within_a_project(world: World) -> None:
    """Given a job of another project, then its name can be used here."""
    theirs = await world.api.submit(name="theirs")
    assert theirs["project"] == PROJECT
    assert theirs["id"] != world.others["job"]
