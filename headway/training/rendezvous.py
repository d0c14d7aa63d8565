"""Lets warm ranks meet at Headway's store. No rank waits until rank 0 serves one, and it outlives process groups."""

from __future__ import annotations

import itertools
import os
import sys
from datetime import timedelta
from typing import Any


def share_store(endpoint: str, store: str) -> None:
    """Let a script that asks torch for the store at `endpoint` (MASTER_ADDR and MASTER_PORT) get the one at `store`.

    For any other address, and in a process that the rank has forked, torch works as usual: rank 0 serves a store.
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
        # A later process group uses the same names: it must not find the entries of an earlier one.
        return distributed.PrefixStore(f"again-{before}", shared) if before else shared

    rendezvous._create_c10d_store = create_or_share
