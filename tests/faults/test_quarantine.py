"""A worker that cannot start ranks harms no job: the scheduler avoids it, then it is quarantined."""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil

from tests.fleet import Fleet, ended, wait_until


def kill_forkservers(worker: int, stopped: threading.Event) -> None:
    """Kill each forkserver of a worker as soon as it appears."""
    while not stopped.wait(0.05):
        with suppress(psutil.Error):
            for child in psutil.Process(worker).children():
                if "headway.training.forkserver" in child.cmdline():
                    child.kill()


def test_a_worker_whose_forkserver_dies_costs_no_job_a_retry(fleet: Fleet) -> None:
    """Given two workers of which one keeps losing its forkserver, ten jobs succeed on the other, and it is quarantined.

    It stays quarantined after a restart of the server, until a user says that it is fixed.
    """
    fleet.start_server()
    for name in ("bad", "good"):
        fleet.start_worker(name, slots=1)
    stopped = threading.Event()
    killer = threading.Thread(target=kill_forkservers, args=(fleet.processes["bad"].pid, stopped))
    killer.start()
    try:
        fleet.wait_for_workers(2)
        jobs = [fleet.script("print('done')", retries=0) for _ in range(10)]
        wait_until(lambda: "bad (quarantined)" in fleet.command("workers").stdout, "the quarantine")
        told = fleet.command("workers").stdout
        assert "Worker bad is quarantined since" in told
        assert "the forkserver does not start: it was ended by signal 9" in told
        for job in jobs:
            assert (ended(job).status, job.data["retries_used"]) == ("succeeded", 0), job.data
        reasons = [attempt["reason"] for job in jobs for attempt in job.attempts()]
        assert reasons.count("completed") == 10
        assert reasons.count("worker_faulty") >= 3
        assert set(reasons) == {"completed", "worker_faulty"}
        fleet.kill("server")
        fleet.start_server()
        gang = fleet.script("print('done')", world_size=2)
        told = wait_until(lambda: fleet.command("show", gang.name).stdout, "the server's start")
        assert "Worker bad is quarantined: the forkserver does not start" in told
    finally:
        stopped.set()
        killer.join()
    assert "takes jobs again" in fleet.command("workers", "restore", "bad").stdout
    assert (ended(gang).status, gang.data["retries_used"]) == ("succeeded", 0)
    assert "quarantined" not in fleet.command("workers").stdout
