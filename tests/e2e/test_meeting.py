"""Ranks that train one model each cause a warning; ranks that met in any way do not."""

from __future__ import annotations

from tests.fleet import Fleet, ended

ALONE = """
import torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(20):
    optimizer.zero_grad()
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
"""
ALL_REDUCE = """
import os, torch, torch.distributed as dist
rank, folder = int(os.environ["RANK"]), os.environ["HEADWAY_RUN_FILE"].rpartition("/")[0]
dist.init_process_group("gloo", rank=rank, world_size=2, {how})
dist.all_reduce(torch.ones(1))
dist.destroy_process_group()
"""
SOCKETS = """
import os, pathlib, socket, time
port = pathlib.Path(os.environ["HEADWAY_OUTPUT_DIRECTORY"]) / "port"
if os.environ["RANK"] == "0":
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port.with_suffix(".new").write_text(str(listener.getsockname()[1]))
        port.with_suffix(".new").rename(port)
        kept = listener.accept()[0]
else:
    while not port.exists(): time.sleep(0.02)
    kept = socket.create_connection(("127.0.0.1", int(port.read_text())))
time.sleep(3)
"""
MET = {
    "in the launcher's store": ALL_REDUCE.format(how='init_method="env://"'),
    "by a file": ALL_REDUCE.format(how='init_method=f"file://{folder}/rendezvous"'),
    "by their own sockets": SOCKETS,
    "by a socket for a moment": SOCKETS.replace("time.sleep(3)", "kept.close()"),
}


def test_only_ranks_that_never_met_cause_a_warning(shared_fleet: Fleet) -> None:
    alone = shared_fleet.script(ALONE, world_size=2)
    spread = shared_fleet.script(ALONE, world_size=2, workers=2)
    met = {how: shared_fleet.script(source, world_size=2, ranks_per_worker=2) for how, source in MET.items()}
    for job in (alone, spread):
        (warning,) = ended(job).data["warnings"]
        assert warning.startswith("None of the 2 ranks connected to another")
        assert job.status == "succeeded"
    for how, job in met.items():
        assert (ended(job).status, job.data["warnings"]) == ("succeeded", []), how
    assert "None of the 2 ranks connected" in shared_fleet.command("show", alone.name).stdout
