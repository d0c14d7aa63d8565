"""From a fork to the end of the script: what happens inside one rank's process."""

from __future__ import annotations

import atexit
import faulthandler
import json
import mmap
import os
import random
import runpy
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

from headway.lifeline import die_with_parent
from headway.training.run import Run

_TRACEBACK_CHARACTERS = 20_000
_PEER_ERRORS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "DistNetworkError",
    "Broken pipe",
    "NCCL error",
)


def run_rank(plan: dict[str, Any], local_rank: int, finished: mmap.mmap) -> NoReturn:
    """Become the rank. Never returns: the process leaves without the interpreter's teardown.

    Leaving by os._exit spares ranks the destruction of torch's process groups, which aborts now and then.
    """
    status = 1
    try:
        launcher = os.getppid()
        os.setsid()
        die_with_parent(launcher)
        run = _enter(plan, local_rank)
        status = _run_script(plan, run)
        if status == 0:
            finished[local_rank] = 1
            run.record({"type": "rank_finished", "rank": run.rank})
        status = _leave(status)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _enter(plan: dict[str, Any], local_rank: int) -> Run:
    """Set up files, variables, signals and random numbers as a fresh process would have them."""
    folder = Path(plan["folder"])
    rank = plan["first_rank"] + local_rank
    output = os.open(folder / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    faulthandler.enable(all_threads=True)
    atexit._clear()
    working = folder / "work" / f"rank-{rank}"
    outputs = folder / "output" / f"rank-{rank}"
    for path in (working, outputs):
        path.mkdir(parents=True, exist_ok=True)
    os.chdir(working)
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        del os.environ[name]  # the worker's settings and tokens are not the script's business
    os.environ.update(_variables(plan, rank, local_rank, folder, outputs))
    _reseed(plan["threads"])
    return Run.of_rank()


def _variables(plan: dict[str, Any], rank: int, local_rank: int, folder: Path, outputs: Path) -> dict[str, str]:
    """torchrun's variables (https://docs.pytorch.org/docs/stable/elastic/run.html), and Headway's own."""
    host, _, port = plan["endpoint"].rpartition(":")
    variables = {
        "RANK": rank,
        "LOCAL_RANK": local_rank,
        "WORLD_SIZE": plan["world_size"],
        "LOCAL_WORLD_SIZE": plan["rank_count"],
        "GROUP_RANK": plan["group_rank"],
        "GROUP_WORLD_SIZE": plan["group_count"],
        "ROLE_RANK": rank,
        "ROLE_WORLD_SIZE": plan["world_size"],
        "ROLE_NAME": "default",
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": plan["job"],
        "TORCHELASTIC_RESTART_COUNT": plan["attempt"] - 1,
        "TORCHELASTIC_MAX_RESTARTS": plan["spec"]["retries"],
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": plan["threads"],
        "HEADWAY_SERVER_URL": plan["server_url"],
        "HEADWAY_JOB_ID": plan["job"],
        "HEADWAY_ATTEMPT": plan["attempt"],
        "HEADWAY_RANK_TOKEN": plan["rank_token"],
        "HEADWAY_PARAMETERS": json.dumps(plan["spec"]["parameters"]),
        "HEADWAY_RUN_FILE": folder / f"rank-{rank}.run",
        "HEADWAY_OUTPUT_DIRECTORY": outputs,
    }
    if host.startswith("127."):
        variables["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    if plan["accelerators"]:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in plan["accelerators"])
    return {name: str(value) for name, value in variables.items()}


def _reseed(threads: int) -> None:
    import numpy
    import torch

    random.seed()
    numpy.random.seed()  # forks would share the state that the forkserver drew at import
    torch.set_num_threads(threads)


def _run_script(plan: dict[str, Any], run: Run) -> int:
    """Run the script or trainer; the exit status. An exception is printed, and recorded for the job's failure."""
    try:
        if plan["spec"]["trainer"] is not None:
            from headway.training.trainer import train

            train(plan, run)
        else:
            script = Path(plan["spec"]["script"]["filename"])
            script.write_text(plan["spec"]["script"]["source"], encoding="utf-8")
            sys.argv = [str(script), *plan["spec"]["arguments"]]
            sys.path.insert(0, os.getcwd())
            runpy.run_path(str(script.absolute()), run_name="__main__")
        return 0
    except SystemExit as request:
        if request.code is None or request.code == 0:
            return 0
        if isinstance(request.code, int):
            return request.code & 0xFF
        print(request.code, file=sys.stderr)
        return 1
    except BaseException as error:
        _record_error(run, error)
        return 1


def _record_error(run: Run, error: BaseException) -> None:
    # The frames above the script are Headway's and runpy's; a user wants to see their own.
    frame = error.__traceback__
    while frame is not None and (
        frame.tb_frame.f_code.co_filename == __file__ or "runpy" in frame.tb_frame.f_code.co_filename
    ):
        frame = frame.tb_next
    text = "".join(traceback.format_exception(type(error), error, frame))
    sys.stdout.flush()
    sys.stderr.write(text)
    summary = traceback.format_exception_only(error)[-1].strip()
    record = {
        "type": "rank_error",
        "error": summary[:4000],
        "traceback": text[-_TRACEBACK_CHARACTERS:],
        "secondary": any(sign in text for sign in _PEER_ERRORS) and run.world_size > 1,
    }
    run.record(record)


def _leave(status: int) -> int:
    """What the interpreter does at its end, short of destroying objects: threads, exit handlers, buffers."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status
