"""The two ports where ranks meet."""

from __future__ import annotations

import socket
import sys

import pytest

from headway.worker.meeting_ports import MeetingPorts, store_of


@pytest.mark.skipif(sys.platform != "linux", reason="on other systems the port is free, not reserved")
def test_a_rank_may_listen_on_the_reserved_second_port() -> None:
    """Given the ports of an attempt, then a rank can listen on its MASTER_PORT, beside the store."""
    with MeetingPorts("127.0.0.1") as ports:
        host, _, port = ports.endpoint.rpartition(":")
        store_host, _, store_port = store_of(ports.endpoint).rpartition(":")
        given = [socket.create_server(("127.0.0.1", 0)) for _ in range(200)]
        assert int(port) not in [one.getsockname()[1] for one in given]
        for one in given:
            one.close()
        with socket.create_server(("", int(port))) as own, socket.create_connection((host, int(port))):
            own.accept()[0].close()
        with socket.create_connection((store_host, int(store_port))):
            ports.listener.accept()[0].close()
