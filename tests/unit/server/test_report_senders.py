"""A worker may send only its own reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.brokers.envelope import report_key, seal
from headway.errors import Corrupt
from headway.formats.reports import Report, encode_report
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio


def a_report(worker: str) -> bytes:
    return encode_report(Report("j-1", 1, worker, 1, 1))


def sealed(server: StillServer, report: bytes, sender: str) -> bytes:
    return seal(report, sender, report_key(server.tokens.secret, sender))


async def test_a_worker_sends_its_own_reports_and_those_of_its_earlier_registrations(tmp_path: Path) -> None:
    async with still_server(tmp_path) as server:
        await server.a_worker("first")
        await server.a_worker("second", former="first")
        await server.a_worker("third", former="second")
        for name in ("first", "second", "third"):
            report = a_report(name)
            server.senders.check("third", report)
            assert server.senders.opened(sealed(server, report, "third")) == report


async def test_a_worker_cannot_send_reports_of_others_or_of_later_registrations(tmp_path: Path) -> None:
    async with still_server(tmp_path) as server:
        await server.a_worker("first")
        await server.a_worker("second", former="first")
        await server.a_worker("other")
        for sender, named in (("first", "second"), ("second", "other"), ("other", "first"), ("unknown", "first")):
            with pytest.raises(Corrupt, match=f"Worker {sender} sent a report in the name of '{named}'"):
                server.senders.check(sender, a_report(named))


async def test_a_report_that_another_key_signed_is_refused(tmp_path: Path) -> None:
    async with still_server(tmp_path) as server:
        await server.a_worker("a")
        forged = seal(a_report("a"), "a", report_key("another secret", "a"))
        with pytest.raises(Corrupt, match="does not have its signature"):
            server.senders.opened(forged)
