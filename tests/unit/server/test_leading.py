"""A leader that was paused, and how the next one handles its changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from headway.core import transitions
from headway.core.job import JobSpec
from headway.core.placement import Share
from headway.errors import SettingInvalid
from headway.server.clock import Clock
from headway.server.leading import Leading
from headway.server.services.jobs import Jobs
from tests.fake_clock import FakeClock
from tests.new_job import new_job
from tests.unit.shared_sqlite import SharedSqlite

pytestmark = pytest.mark.anyio


async def test_a_leader_knows_changes_of_a_former_leader_that_need_no_action(tmp_path: Path) -> None:
    """Given a job that a former leader changed, when the same facts reach the next leader, then it keeps that job.

    Otherwise the job would not be among the unsettled ones: its worker would end it, and its end would be missed.
    """
    database = SharedSqlite(f"sqlite:///{tmp_path / 'headway.db'}")
    await database.open()
    former, leader = Jobs(database, Clock()), Jobs(database, Clock())
    job = await former.insert(new_job(JobSpec(script="s.py", source="")))
    job = await former.update(job.id, lambda job: transitions.place(job, [Share("w", "w", 0, 1)], 0))
    await leader.open()
    claimed = await former.update(job.id, lambda job: transitions.claim(job, 1, "w", "host:1"))
    heard = []
    leader.on_change = (heard.append,)
    answered = await leader.update(job.id, lambda job: transitions.claim(job, 1, "w", "host:1"))
    assert answered.version == claimed.version
    known = leader.unsettled.find(job.id)
    assert known is not None
    assert known.version == claimed.version
    assert [one.version for one in heard] == [claimed.version]
    await database.close()


async def test_a_leader_that_was_paused_is_not_proven(tmp_path: Path) -> None:
    database = SharedSqlite(f"sqlite:///{tmp_path / 'headway.db'}")
    await database.open()
    clock = FakeClock()
    leading = Leading(database, clock, "s-1", 1.5)
    assert not leading.proven
    await leading.acquire("http://here")
    assert leading.proven
    clock.seconds += 1.4
    assert leading.proven
    clock.seconds += 0.2
    assert not leading.proven
    await database.close()


async def damage_leadership(database: SharedSqlite) -> None:
    async with database._main(write=True) as connection:
        await connection.execute(text("UPDATE installation SET document = '{' WHERE key = 'leadership'"))


async def test_a_damaged_row_stops_a_start_and_says_what_to_do(tmp_path: Path) -> None:
    database = SharedSqlite(f"sqlite:///{tmp_path / 'headway.db'}")
    await database.open()
    await Leading(database, FakeClock(), "s-1", 1.5).acquire("http://one")
    await damage_leadership(database)
    with pytest.raises(
        SettingInvalid, match=r"row `leadership` of `installation` is damaged\. Stop all servers, delete"
    ):
        await Leading(database, FakeClock(), "s-2", 1.5).acquire("http://two")
    await database.close()


async def test_a_leader_whose_row_is_damaged_no_longer_leads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = SharedSqlite(f"sqlite:///{tmp_path / 'headway.db'}")
    await database.open()
    leading = Leading(database, FakeClock(), "s-1", 0.05)
    await leading.acquire("http://here")
    assert not leading.over.is_set()
    await damage_leadership(database)
    async with asyncio.timeout(10):
        await leading.keep()
    assert leading.over.is_set()
    assert "This server no longer leads: The database does not say which server leads" in caplog.text
    await database.close()
