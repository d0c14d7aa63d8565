"""What the walk over every route asks about: callers of each kind, and objects of two projects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from headway.core.account import Project, Rights, Role, Scope, StoredToken, User
from headway.core.facts import ArtifactStored, CheckpointPartStored, RankStarted
from headway.core.job import JobSpec
from headway.server.access import Caller, CallerKind
from headway.server.app import API_PREFIX
from tests.api.conftest import PROJECT, SCRIPT, USER, Api
from tests.api.test_jobs import eventually
from tests.api.test_projects import a_dataset, once, send
from tests.new_job import new_job

WORKER = {"name": "one", "slots": 1, "threads_per_slot": 1, "host": "127.0.0.1", "port": 9}
BODIES: dict[str, Any] = {
    "POST /jobs": SCRIPT,
    "POST /jobs/plan": SCRIPT,
    "PATCH /jobs/{job}": {},
    "POST /live/{channel}": {"action": "ping"},
    "POST /jobs/{job}/rerun": {},
    "POST /jobs/{job}/rerun/plan": {},
    "POST /jobs/{job}/exec": {"command": ["ls"], "timeout_seconds": 0.01},
    "POST /datasets/missing": [],
    "POST /projects": {"name": "new"},
    "POST /users": {"name": "new"},
    "PATCH /users/{user}": {},
    "PUT /users/{user}/roles/{project}": {"role": "viewer"},
    "POST /tokens": {"name": "new"},
    "POST /tokens/join": {"name": "new"},
    "POST /session": {"code": "none"},
    "POST /session/tokens": {"code": "none"},
    "POST /session/renew": {"refresh_token": "none"},
    "POST /workers": {"worker": WORKER},
    "POST /workers/{worker}/heartbeat": {"counter": 0, "last_answer": -1},
    "POST /workers/{worker}/ended-jobs": {"jobs": []},
    "POST /workers/{worker}/inquiries/{inquiry}": {"output": "x"},
    "POST /workers/{worker}/assignments/{assigned_job}/{assigned_attempt}/claim": {"endpoint": "127.0.0.1:1"},
}
CODE, OTHER_CODE = b"code", b"other code"
FIXED = {
    "attempt": "1",
    "assigned_attempt": "1",
    "from_attempt": "1",
    "step": "1",
    "rank": "0",
    "kind": "job",
    "channel": "l-none",
}
ABSENT = {
    "job": "j-aaaaaaaaaaaa",
    "assigned_job": "j-aaaaaaaaaaaa",
    "worker": "w-aaaaaaaaaaaa",
    "dataset": "nothing",
    "sha256": "0" * 64,
    "row": "j-aaaaaaaaaaaa",
    "token": "t-aaaaaaaaaaaa",
    "user": "nobody",
    "project": "nothing",
}


@dataclass
class World:
    """A job at work in the callers' project with what it needs and made, and the like in another project."""

    api: Api
    headers: dict[str, dict[str, str]]
    own: dict[str, str]
    others: dict[str, str]
    own_block: str
    others_block: str
    contents: dict[str, bytes]
    bodies: dict[str, Any]

    def names(self, route: str) -> tuple[dict[str, str], dict[str, str]]:
        """What the route names: the caller's own, and another's."""
        own, others = self.own, self.others
        if "/blocks/" in route:
            own, others = {**own, "sha256": self.own_block}, {**others, "sha256": self.others_block}
        return ({**own, "name": own["worker"]} if "/workers/{name}" in route else own), others

    async def ask(self, route: str, kind: str, names: Mapping[str, str], project: str | None = None) -> httpx.Response:
        method, path = route.split()
        if kind == "owner" and route == "POST /tokens":
            return await self.ask(route, "admin", names, project)  # the home's token is no user's
        content: dict[str, Any] = {"json": self.bodies[route]} if route in self.bodies else {}
        if route in self.contents:
            content = {"content": self.contents[route]}
        if project is not None:
            content["params"] = {"project": project}
        if names.get("token") == self.own["token"]:
            names = {**names, "token": f"t-of-{'member' if kind == 'token' else kind}"}
        headers = self.headers[kind]
        if route in ("DELETE /account/token", "DELETE /session") and kind not in ("join", "worker", "rank"):
            headers = self.api.headers(Caller(CallerKind.USER, user="u-another"))  # who may do nothing here but leave
        address = API_PREFIX + path.format(**{**FIXED, **names})
        return await self.api.http.request(method, address, headers=headers, **content)


async def a_world(api: Api) -> World:
    server, worker = api.server, await api.worker(slots=1)
    code = hashlib.sha256(CODE).hexdigest()
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

    others, others_block = await another_project(api)
    users = await the_users(api)
    del users["another"]
    return World(
        api=api,
        headers={
            "owner": api.headers(USER),
            **users,
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
            "user": "leaver",
            "project": PROJECT,
            "token": "t-of-whoever-asks",
        },
        others=others,
        own_block=block,
        others_block=others_block,
        contents={
            "PUT /snapshots/{sha256}": CODE,
            "PUT /blocks/{sha256}": await server.blocks.read(block),
            "PUT /jobs/{job}/attempts/{attempt}/artifacts/{name}": b"x",
            "PUT /jobs/{job}/attempts/{attempt}/checkpoints/{step}/{rank}": b"state",
        },
        bodies={**BODIES, "POST /datasets": {**digits.model_dump(), "name": "copy"}},
    )


async def another_project(api: Api) -> tuple[dict[str, str], str]:
    """What another project has, by what routes call it, and a block of it."""
    server, code = api.server, hashlib.sha256(OTHER_CODE).hexdigest()
    theirs = new_job(JobSpec(script="s.py", source="")).model_copy(update={"project": "other", "name": "theirs"})
    await server.directory.put(Project(id="other", created_at=1.0))
    await server.jobs.insert(theirs)
    await server.snapshots.store(USER, "other", code, once(OTHER_CODE))
    dataset, blocks = a_dataset("their-data")
    await send(server, "other", blocks)
    await server.datasets.add(USER, "other", dataset)
    another = await api.worker(slots=1)
    others = {
        "job": theirs.id,
        "assigned_job": theirs.id,
        "worker": another.id,
        "dataset": dataset.name,
        "sha256": code,
        "row": theirs.id,
        "token": "t-of-another",
    }
    return others, blocks[0][0].sha256


async def the_users(api: Api) -> dict[str, dict[str, str]]:
    """Users of each kind, one more in the other project, and the headers that they send."""
    headers = {}
    for name, admin, roles in (
        ("admin", True, {}),
        ("member", False, {PROJECT: Role.MEMBER}),
        ("viewer", False, {PROJECT: Role.VIEWER}),
        ("leaver", False, {PROJECT: Role.VIEWER}),
        ("another", False, {"other": Role.MEMBER}),
    ):
        uid = f"u-{name}"
        await api.server.directory.put(User(id=name, uid=uid, created_at=1.0, admin=admin, roles=roles))
        token = {"user": uid, "name": "x", "made_at": 1.0, "expires_at": None}
        await api.server.directory.put(StoredToken(id=f"t-of-{name}", sha256="0" * 64, **token))
        headers[name] = api.headers(Caller(CallerKind.USER, user=uid))
    member = Caller(CallerKind.USER, user="u-member", rights=Rights("member", roles=((PROJECT, Role.MEMBER),)))
    _, text = await api.server.access_tokens.add(
        member, name="x", user=None, scopes=(Scope.READ,), project=None, days=1.0
    )
    del headers["leaver"]
    return {**headers, "token": {"Authorization": f"Bearer {text}"}}
