"""The audit: written with each change, and for what was refused; it outlives what it names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headway.core.facts import RankStarted
from headway.errors import Unavailable
from headway.server.services import audit, inquiries
from tests.api.conftest import SCRIPT, Api
from tests.api.test_accounts import URL, a_user, bearer, done, refused

pytestmark = pytest.mark.anyio


async def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    """The audit, once what was refused is in it."""
    await api.server.audit._refusals.join()
    found: list[dict[str, Any]] = await done(api, "GET", f"/audit{query}")
    return found


async def test_who_did_what_to_what_is_listed_newest_first(api: Api) -> None:
    ann = bearer(await a_user(api, "ann"))
    job = await done(api, "POST", "/jobs", {**SCRIPT, "name": "mine"}, ann)
    await done(api, "POST", "/jobs/mine/cancel", headers=ann)
    await done(api, "DELETE", "/jobs/mine", headers=ann)
    found = await entries(api, "?user=ann")
    assert [(one["action"], one["subject"], one["project"]) for one in found] == [
        ("jobs.write", f"job {job['id']}", "vision")
    ] * 3
    assert {one["outcome"] for one in found} == {"allowed"}
    assert {one["address"] for one in found} == {"127.0.0.1"}
    assert {one["credential"] for one in found} == {(await done(api, "GET", "/account", headers=ann))["credential"]}
    assert [one["id"] for one in found] == sorted((one["id"] for one in found), reverse=True)
    assert await entries(api, f"?user=ann&before={found[0]['id']}&limit=1") == found[1:2]
    assert await entries(api, "?of_project=vision&user=ann") == found


async def test_changes_of_users_say_what_was_changed(api: Api) -> None:
    await a_user(api, "ann")
    await done(api, "PUT", "/users/ann/roles/vision", {"role": "viewer"})
    await done(api, "PATCH", "/users/ann", {"disabled": True})
    found = [(one["action"], one["subject"], one["detail"]) for one in await entries(api)]
    assert found[:2] == [("users.write", "user ann", "disabled"), ("users.write", "user ann", "viewer of vision")]
    assert ("users.write", "user ann", "member of vision, not an administrator, not a service account") in found
    assert ("projects.write", "project vision", "") in found


async def test_what_is_refused_is_listed(api: Api) -> None:
    """Given a viewer who cancels, asks for another project, and a wrong token, then all three are there."""
    bob = bearer(await a_user(api, "bob", "viewer"))
    await done(api, "POST", "/jobs?project=vision", {**SCRIPT, "name": "mine"})
    await refused(api, "POST", "/jobs/mine/cancel", bob)
    await refused(api, "GET", "/jobs?project=default", bob)
    await refused(api, "GET", "/jobs", bearer("hwp_t-x.wrong"))
    found = [one for one in await entries(api) if one["outcome"] == "refused"]
    assert [(one["user"], one["action"], one["subject"]) for one in found] == [
        ("", "authenticate", "/api/v1/jobs"),
        ("bob", "projects.read", "project default"),
        ("bob", "jobs.write", found[2]["subject"]),
    ]
    assert found[2]["subject"].startswith("job j-")
    assert "wrong" not in str(found), "no part of a token is written down"


async def test_a_change_whose_entry_cannot_be_stored_fails(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an audit that takes no entries, then the job is not there either."""

    def full(*_: object) -> None:
        raise Unavailable("The disk is full.")

    monkeypatch.setattr("headway.database.sql_connections.audit_row", full)
    answer = await api.http.post(f"{URL}/jobs", json={**SCRIPT, "name": "mine"})
    assert answer.status_code == 503
    monkeypatch.undo()
    assert (await api.http.get(f"{URL}/jobs/mine")).status_code == 404


async def test_a_command_beside_a_rank_is_listed_before_it_runs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a worker that does not answer, then the audit has the command all the same."""
    monkeypatch.setattr(inquiries, "_ANSWER_SECONDS", 0.0)
    worker = await api.worker()
    job = await done(api, "POST", "/jobs", {**SCRIPT, "name": "mine"})
    while (await done(api, "GET", "/jobs/mine"))["status"] == "queued":
        await asyncio.sleep(0.01)
    await worker.claim(job["id"])
    await api.server.recorder.record([worker.a_report(job["id"], RankStarted(rank=0, pid=1))])
    await refused(api, "POST", "/jobs/mine/exec", {}, {"command": ["rm", "-r", "a b"], "timeout_seconds": 0.01})
    newest = (await entries(api))[0]
    assert (newest["action"], newest["subject"], newest["detail"]) == ("jobs.write", f"job {job['id']}", "rm -r 'a b'")


async def test_reading_and_what_workers_do_writes_nothing(api: Api) -> None:
    worker = await api.worker()
    before = await entries(api)
    await worker.heartbeat(0)
    await done(api, "GET", "/jobs")
    assert await entries(api) == before


async def test_many_refusals_of_one_address_are_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_REFUSALS_A_MINUTE", 3)
    for _ in range(10):
        await refused(api, "GET", "/jobs", bearer("hwp_t-x.wrong"))
    found = [one for one in await entries(api) if one["action"] == "authenticate"]
    assert len(found) + api.server.counters.refusals_not_listed == 10
    assert len(found) in (3, 6), "a minute may end meanwhile"


async def test_only_administrators_read_it(api: Api) -> None:
    ann = bearer(await a_user(api, "ann"))
    assert await refused(api, "GET", "/audit", ann) == (403, "Only an administrator may do this (audit.read).")
