"""Finds the network interface of this machine that leads to a peer."""

from __future__ import annotations

import socket
import sys

import psutil

from headway.errors import SettingInvalid

LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def address_towards(host: str, port: int) -> str:
    """The local address from which packets to `host` are sent. Sends nothing. Raises OSError without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str | None:
    """The interface that has the address."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            return name
    return None


def address_of(interface: str) -> str:
    """The interface's IPv4 address. Raises SettingInvalid."""
    interfaces = psutil.net_if_addrs()
    for one in interfaces.get(interface, ()):
        if one.family == socket.AF_INET:
            return one.address
    raise SettingInvalid(
        f"--interface {interface} has no IPv4 address on this machine, which has {', '.join(sorted(interfaces))}."
    )


def interface_for_ranks(own_host: str, endpoint: str, group_rank: int, group_count: int) -> str | None:
    """The interface by which this worker's ranks reach the others: the one on the route to rank 0's worker.

    On rank 0's worker it is the one with the worker's address. A gang on one worker needs none.
    """
    if group_count == 1:
        return LOOPBACK
    host, _, port = endpoint.rpartition(":")
    return interface_of(own_host if group_rank == 0 else address_towards(host, int(port)))
