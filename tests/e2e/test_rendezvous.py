"""Where ranks meet: scripts for torchrun, plain torch and other frameworks find the address that they expect."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet, ended

MEET = """
import os, socket, time
from datetime import timedelta
import torch, torch.distributed as dist, torch.multiprocessing as mp

def total():
    one = torch.ones(1); dist.all_reduce(one); return int(one)

def of_its_own(number, port):
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "127.0.0.1", str(port)
    dist.init_process_group("gloo", rank=number, world_size=2, timeout=timedelta(seconds=30))
    assert total() == 2
    dist.destroy_process_group()

if __name__ == "__main__":
    rank, limit = int(os.environ["RANK"]), timedelta(seconds=30)
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    for name in ("TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS", "TORCHELASTIC_RUN_ID",
                 "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_ERROR_FILE", "TORCH_NCCL_ASYNC_ERROR_HANDLING"):
        assert os.environ[name], name
    if rank == 0:
        with socket.create_server(("", port)) as server: server.accept()[0].close()
    else:
        while True:
            try: socket.create_connection((host, port)).close(); break
            except ConnectionRefusedError: time.sleep(0.02)
    print("served on MASTER_PORT", flush=True)
    for method in ("env://", f"tcp://{host}:{port}")[: int(os.environ["TIMES"])]:
        dist.init_process_group("gloo", init_method=method, rank=rank, world_size=2, timeout=limit)
        assert total() == 2
        dist.barrier()
        time.sleep(0.2 * rank)
        dist.destroy_process_group()
    store = dist.TCPStore(host, port + 1, 2, is_master=rank == 0, timeout=limit)
    store.set(str(rank), "here"); store.wait([str(1 - rank)])
    print("met", flush=True)
    if rank == 0:
        for method in ("fork", "spawn"):
            with socket.create_server(("127.0.0.1", 0)) as free: own = free.getsockname()[1]
            mp.start_processes(of_its_own, args=(own,), nprocs=2, start_method=method)
        print("met its own children", flush=True)
"""


@pytest.mark.parametrize("variables", [{"TIMES": "2"}, {"TIMES": "1", "PYTHONHASHSEED": "0"}], ids=["warm", "cold"])
def test_ranks_meet_as_they_expect(shared_fleet: Fleet, variables: dict[str, str]) -> None:
    """Cold ranks use only torch, where a fast rank may connect to a store that another rank is about to close."""
    job = ended(shared_fleet.script(MEET, world_size=2, ranks_per_worker=1, variables=variables))
    lines = [(line["rank"], line["text"]) for line in job.logs()]
    assert job.status == "succeeded", lines
    lines = [line for line in lines if line[1].startswith(("served", "met"))]  # torch may warn of a closed store
    expected = [(0, "served on MASTER_PORT"), (0, "met"), (0, "met its own children")]
    assert [line for line in lines if line[0] == 0] == expected
    assert [line for line in lines if line[0] == 1] == [(1, "served on MASTER_PORT"), (1, "met")]
