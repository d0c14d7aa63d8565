"""The backends that the settings name, and the order in which they are opened and closed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headway.brokers.embedded import EmbeddedBroker
from headway.errors import SettingInvalid, Unavailable
from headway.server.open_backends import Backends
from headway.settings import Settings

pytestmark = pytest.mark.anyio
AMQP, OTHER_AMQP = "amqp://guest:secret@127.0.0.1:1", "amqp://127.0.0.1:2"


def backends(folder: Path, **settings: Any) -> Backends:
    return Backends(Settings(home=folder, **settings))


class Away(EmbeddedBroker):
    """A broker that cannot be reached the first few times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def problems(self) -> list[Any]:
        raise Unavailable("Nobody answers.")

    async def open(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise SettingInvalid("Nobody answers.")


def test_wakeups_and_reports_share_a_broker_unless_the_settings_name_two(tmp_path: Path) -> None:
    alone = backends(tmp_path)
    assert alone.wakeups is alone.reports is alone.embedded
    one = backends(tmp_path, broker_url=AMQP)
    assert one.wakeups is one.reports
    assert one.wakeups is not one.embedded
    two = backends(tmp_path, broker_url=AMQP, reports_url=OTHER_AMQP)
    assert two.wakeups is not two.reports


@pytest.mark.parametrize(
    ("settings", "role", "named"),
    [
        ({"broker_url": AMQP}, "wakeups", "HEADWAY_BROKER_URL is amqp://"),
        ({"wakeups_url": AMQP}, "wakeups", "HEADWAY_WAKEUPS_URL is amqp://"),
        ({"reports_url": AMQP}, "reports", "HEADWAY_REPORTS_URL is amqp://"),
        ({"broker_url": AMQP, "reports_url": OTHER_AMQP}, "reports", "HEADWAY_REPORTS_URL is amqp://127.0.0.1:2"),
    ],
)
async def test_a_broker_that_is_down_is_named_by_its_setting_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], role: str, named: str
) -> None:
    found = backends(tmp_path, **settings)
    reached = AsyncProblems()
    for name in ("wakeups", "reports"):
        if getattr(found, name) is not found.embedded:
            monkeypatch.setattr(getattr(found, name), "problems", reached.none)
    monkeypatch.setattr(getattr(found, role), "problems", reached.away)
    with pytest.raises(SettingInvalid, match=named) as caught:
        await found.reach_brokers()
    assert "secret" not in str(caught.value)


class AsyncProblems:
    async def none(self) -> list[Any]:
        return []

    async def away(self) -> list[Any]:
        raise Unavailable("Nobody answers.")


async def test_a_lone_server_does_not_wait_for_its_broker(tmp_path: Path) -> None:
    found = Backends(Settings(home=tmp_path), embedded=Away(1))
    with pytest.raises(SettingInvalid):
        await found.open_brokers()


async def test_a_server_that_takes_over_waits_for_its_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a broker that goes down after it was reached and before the server leads, the server waits for it."""
    broker = Away(2)
    found = Backends(Settings(home=tmp_path), embedded=broker)
    monkeypatch.setattr(type(found.database), "shared", True)
    monkeypatch.setattr("headway.server.open_backends._BROKER_RETRY_SECONDS", 0.01)
    async with asyncio.timeout(10):
        await found.open_brokers()
    assert broker.times == -1


async def test_backends_are_closed_in_reverse_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a store that cannot be opened, it and the stores opened before are closed; later ones are not."""
    found = backends(tmp_path)
    closed = []
    for name in ("database", "objects", "cache"):
        one = getattr(found, name)

        async def close(name: str = name, close: Any = one.close) -> None:
            closed.append(name)
            await close()

        monkeypatch.setattr(one, "close", close)

    async def refuses() -> None:
        raise SettingInvalid("HEADWAY_OBJECTS_URL names a folder that cannot be written.")

    monkeypatch.setattr(found.objects, "open", refuses)
    with pytest.raises(SettingInvalid):
        await found.open_stores()
    await found.close()
    assert closed == ["objects", "database"]
