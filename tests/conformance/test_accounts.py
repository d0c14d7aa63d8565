"""What every database promises about accounts and the audit."""

from __future__ import annotations

import pytest

from headway.core.account import (
    ACCOUNT_KINDS,
    AccountRecord,
    Invitation,
    LoginFailures,
    Project,
    Revocation,
    Role,
    Scope,
    Session,
    StoredToken,
    User,
)
from headway.core.audit import AuditEntry, Outcome
from headway.core.dataset import Dataset, OwnedDataset
from headway.core.job import Job, JobSpec
from headway.database.base import AuditQuery, Database
from headway.database.request_audit import RequestAudit, request_audit
from headway.errors import NameTaken

pytestmark = pytest.mark.anyio
ANN = User(id="ann", uid="u-1", created_at=1.5, roles={"vision": Role.VIEWER})
TOKEN = StoredToken(id="t-1", user="u-1", name="ci", sha256="0" * 64, scopes=(Scope.READ,), made_at=1.0, expires_at=2.0)
OF_EACH_KIND: list[AccountRecord] = [
    Project(id="vision", created_at=1.0),
    ANN,
    TOKEN,
    Revocation(id="t-old", revoked_at=1.0),
    Session(id="s-1", user="u-1", sha256="0" * 64, made_at=1.0, expires_at=2.0),
    Invitation(id="n-1", user="u-1", sha256="0" * 64, expires_at=2.0),
    LoginFailures(id="both-1", count=3, since=1.0),
]


def an_entry(number: int, *, user: str = "ann", project: str | None = "vision") -> AuditEntry:
    return AuditEntry(
        id=f"a-{number:04d}",
        at=float(number),
        user=user,
        credential="t-1",
        address="127.0.0.1",
        action="jobs.write",
        project=project,
        subject="job j-1",
        outcome=Outcome.ALLOWED,
    )


def a_job(name: str) -> Job:
    spec = JobSpec(command=("true",))
    return Job(id=f"j-{name}", project="p", name="one", idempotency_key=name, body_hash="h", spec=spec, created_at=1.0)


def test_there_is_a_record_of_each_kind() -> None:
    assert [type(one) for one in OF_EACH_KIND] == list(ACCOUNT_KINDS.values())


@pytest.mark.parametrize("record", OF_EACH_KIND, ids=lambda record: type(record).__name__)
async def test_a_record_is_changed_by_its_version(database: Database, record: AccountRecord) -> None:
    """Given a stored record, then a second new one and a change of a version that is not stored are refused."""
    kind = type(record)
    newer = record.model_copy(update={"version": 2})
    assert not await database.put_account(newer), "it is not there yet"
    assert await database.put_account(record)
    assert not await database.put_account(record)
    assert await database.accounts(kind) == [record]
    assert await database.put_account(newer)
    assert not await database.put_account(newer)
    assert not await database.delete_account(record), "it was changed since"
    assert await database.accounts(kind) == [newer]
    assert await database.delete_account(newer)
    assert await database.accounts(kind) == []


async def test_records_are_kept_apart_by_kind_and_sorted_by_id(database: Database) -> None:
    for name in ("b", "a-b", "a"):
        assert await database.put_account(Project(id=name, created_at=1.0))
        assert await database.put_account(ANN.model_copy(update={"id": name}))
    assert [one.id for one in await database.accounts(Project)] == ["a", "a-b", "b"]
    assert await database.accounts(User) == [ANN.model_copy(update={"id": name}) for name in ("a", "a-b", "b")]


async def test_the_audit_is_read_from_the_newest_on(database: Database) -> None:
    first, second, third = an_entry(1), an_entry(2, user="bob"), an_entry(3, project=None)
    await database.insert_audit([second, first])
    await database.insert_audit([third, first])
    assert await database.audit(AuditQuery()) == [third, second, first]
    assert await database.audit(AuditQuery(limit=1)) == [third]
    assert await database.audit(AuditQuery(before=third.id)) == [second, first]
    assert await database.audit(AuditQuery(project="vision")) == [second, first]
    assert await database.audit(AuditQuery(user="ann")) == [third, first]
    assert await database.audit(AuditQuery(user="ann", project="vision", before=first.id)) == []


@pytest.mark.parametrize("write", ["job", "dataset", "deletion", "owner", "account"])
async def test_the_first_write_of_a_request_stores_its_entries(database: Database, write: str) -> None:
    """Given entries that wait, then any write stores them, and a second write stores nothing again."""
    audit = RequestAudit()
    request_audit.set(audit)
    audit.add(an_entry(1))
    dataset = Dataset(name="d", classes=2, splits={}, mean=0, deviation=1, full_scale=255)
    for _ in range(2):
        match write:
            case "job":
                if not audit.waiting:
                    continue
                await database.insert_job(a_job("one"))
            case "dataset":
                await database.put_dataset(OwnedDataset("p", dataset))
            case "deletion":
                await database.delete_dataset("p", "d")
            case "owner":
                await database.add_owner("p", "blocks/1")
            case "account":
                await database.put_account(ANN)
        assert audit.waiting == []
    request_audit.set(None)
    assert await database.audit(AuditQuery()) == [an_entry(1)]


async def test_entries_that_were_not_stored_wait_for_the_next_write(database: Database) -> None:
    """Given a submission whose name is taken, then the entry is stored once, with the write that follows."""
    await database.insert_job(a_job("one"))
    audit = RequestAudit()
    request_audit.set(audit)
    audit.add(an_entry(1))
    with pytest.raises(NameTaken):
        await database.insert_job(a_job("two"))
    await database.add_owner("p", "blocks/1")
    request_audit.set(None)
    assert audit.waiting == []
    assert await database.audit(AuditQuery()) == [an_entry(1)]


async def test_a_damaged_record_is_left_out_and_can_be_deleted(database: Database) -> None:
    assert await database.put_account(ANN.model_copy(update={"created_at": float("inf")}))
    assert await database.accounts(User) == []
    (row,) = database.damage.rows()
    await database.delete_row(row)
    assert await database.put_account(ANN)
