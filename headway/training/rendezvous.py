"""Lets warm ranks meet at Headway's store: nobody waits until rank 0 serves one, and it outlasts a process group."""

from __future__ import annotations

import itertools
import os
import sys
from datetime import timedelta
from typing import Any


def share_store(endpoint: str, store: str) -> None:
    """A script that asks torch for the store at `endpoint`, its MASTER_ADDR and MASTER_PORT, gets the one at `store`.

    At any other address, and in a process that the rank has forked, torch does as ever: rank 0 serves one there.
    """
    rendezvous: Any = sys.modules.get("torch.distributed.rendezvous")
    create = getattr(rendezvous, "_create_c10d_store", None)
    if create is None:
        return
    distributed: Any = sys.modules["torch.distributed"]
    store_host, _, store_port = store.rpartition(":")
    process = os.getpid()
    times = itertools.count()

    def create_or_share(
        hostname: str, port: int, rank: int, world_size: int, timeout: timedelta, *others: Any, **named: Any
    ) -> Any:
        if f"{hostname}:{port}" != endpoint or os.getpid() != process:
            return create(hostname, port, rank, world_size, timeout, *others, **named)
        shared = distributed.TCPStore(
            host_name=store_host, port=int(store_port), world_size=world_size, is_master=False, timeout=timeout
        )
        before = next(times)
        # A process group that follows another has its names: what the other left must not be found under them.
        return distributed.PrefixStore(f"again-{before}", shared) if before else shared

    rendezvous._create_c10d_store = create_or_share
