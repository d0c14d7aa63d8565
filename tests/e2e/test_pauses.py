"""Jobs that save and end on request."""

from __future__ import annotations

import time

from tests.e2e.checkpointed import long_training, texts
from tests.fleet import Fleet, ended, wait_until


def test_a_fork_can_continue_from_a_cancelled_script_that_saved(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
step = 0
while not run.should_stop:
    step += 1; run.log(step, loss=1.0); time.sleep(0.02)
run.save({"step": step}, step)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: job.metrics(), "the first step")
    job.cancel()
    assert ended(job).status == "cancelled"
    assert len(job.data["checkpoints"]) == 1


def test_paused_training_continues_where_it_was(shared_fleet: Fleet) -> None:
    """Given a training, when it is paused, its ranks save and exit; when resumed, it ends as without the pause."""
    spec = long_training(checkpoints={"every_seconds": None, "epoch_end": False})
    with shared_fleet.client() as client:
        alone = client.submit(spec).wait(progress=False)
        job = client.submit(spec)
        wait_until(lambda: job.metrics(), "the first metrics")
        assert "saves and ends its ranks" in shared_fleet.command("pause", job.name).stdout
        wait_until(lambda: job.refresh().status == "queued", "the pause")
        assert (job.data["hold"], job.data["retries_used"], job.data["attempt"]["reason"]) == (True, 0, "paused")
        (saved,) = job.checkpoints()
        shown = shared_fleet.command("show", job.name).stdout
        assert f"Paused at step {saved['step']:,}. Resume it with `headway resume {job.name}`." in shown
        assert job.name in shared_fleet.command("jobs", "--status", "paused").stdout
        assert job.name not in shared_fleet.command("jobs", "--status", "queued").stdout
        time.sleep(1.0)
        assert job.refresh().data["attempt"]["number"] == 1, "a paused job was placed"
        assert shared_fleet.command("resume", job.name).returncode == 0
        assert ended(job).status == "succeeded"
        assert job.attempts()[1]["restored_step"] == saved["step"]
        assert job.result == alone.result
        assert shared_fleet.command("resume", job.name).returncode == 1
        assert shared_fleet.command("pause", job.name).returncode == 1


def test_a_paused_job_in_the_queue_lets_others_pass(shared_fleet: Fleet) -> None:
    held = shared_fleet.script("print('ran')", world_size=1000)
    held.pause()
    assert (held.data["status"], held.data["hold"]) == ("queued", True)
    assert ended(shared_fleet.script("print('ran')")).status == "succeeded"
    held.cancel()
    assert (held.status, held.data["hold"]) == ("cancelled", False)


def test_all_ranks_of_a_script_agree_on_when_to_save_and_stop(shared_fleet: Fleet) -> None:
    source = """
import headway, time, torch.distributed as dist
run = headway.run()
dist.init_process_group("gloo")
step = (run.restore() or {"step": 0})["step"]
print("from", step, flush=True)
saved = []
while step < 100_000 and not (run.attempt > 1 and step > 200_000):
    step += 1
    time.sleep(0.002 * (1 + run.rank))
    dist.barrier()
    if run.rank == 0: run.log(step, x=1.0)
    if run.should_save(step): run.save({"step": step}, step); saved.append(step)
    if run.should_stop: break
    if run.attempt == 2: break
print("saved", saved[-3:], flush=True)
"""
    job = shared_fleet.script(source, world_size=2, checkpoints={"every_seconds": 0.5, "keep_newest": 2})
    wait_until(lambda: len(job.refresh().data["checkpoints"]) == 2, "checkpoints by time")
    job.pause()
    wait_until(lambda: job.refresh().status == "queued", "the pause")
    job.resume()
    assert ended(job).status == "succeeded", job.data
    last = job.attempts()[1]["restored_step"]
    for rank in (0, 1):
        words = texts(job, rank)
        assert words[0] == "from 0"
        assert words[1].startswith("saved [")
        assert words[1].endswith(f"{last}]"), "the ranks did not save the same step at the end"
        assert words[2] == f"from {last}"
