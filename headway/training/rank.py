"""From a fork to the end of the script: what happens inside one rank's process.

As a program it is the same for a rank that starts cold: `python -m headway.training.rank SCRIPT ARGUMENTS...`.
"""

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
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from headway.lifeline import die_with_parent
from headway.stacks_signal import STACKS_SIGNAL
from headway.training.run import Run
from headway.training.run import run as current_run

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes of a command that cannot be started, as a shell gives them."""
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
        _enter(plan, local_rank)
        status = _become(plan) if plan["cold"] else _run_warm(plan)
        if status == 0 and not current_run().interrupted:
            finished[local_rank] = 1
            current_run().record({"type": "rank_finished", "rank": plan["first_rank"] + local_rank})
        status = _leave(status)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _enter(plan: dict[str, Any], local_rank: int) -> None:
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
    atexit._clear()
    environment = rank_environment(plan, local_rank)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(plan["work"])


def rank_environment(plan: dict[str, Any], local_rank: int) -> dict[str, str]:
    """All variables of a rank: the worker's but its own settings, the job's, and those that torchrun sets.

    https://docs.pytorch.org/docs/stable/elastic/run.html
    """
    host, _, port = plan["endpoint"].rpartition(":")
    rank = plan["first_rank"] + local_rank
    folder = Path(plan["folder"])
    ours = {
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
        "TORCHELASTIC_MAX_RESTARTS": plan["retries"],
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "HEADWAY_SERVER_URL": plan["server_url"],
        "HEADWAY_JOB_ID": plan["job"],
        "HEADWAY_ATTEMPT": plan["attempt"],
        "HEADWAY_PARAMETERS": json.dumps(plan["parameters"]),
        "HEADWAY_RUN_FILE": folder / f"rank-{rank}.run",
        "HEADWAY_OUTPUT_DIRECTORY": plan["output"],
        "HEADWAY_CHECKPOINT_DIRECTORY": plan["checkpoint_files"],
        "HEADWAY_CHECKPOINTS": json.dumps(plan["checkpoints"]),
    }
    if plan["data"]:
        ours["HEADWAY_DATA_DIRECTORY"] = plan["data"]
    usual: dict[str, Any] = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), plan["threads"]
    )
    if plan["interface"]:
        usual["GLOO_SOCKET_IFNAME"] = plan["interface"]
        if plan["group_count"] > 1:
            usual["NCCL_SOCKET_IFNAME"] = plan["interface"]
    if plan["accelerators"]:
        usual["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in plan["accelerators"])
    # The worker's settings and tokens are not the script's business.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    variables = {**inherited, **usual, **plan["variables"], **ours}
    return {name: str(value) for name, value in variables.items()}


def _become(plan: dict[str, Any]) -> int:
    """Replace this process by the command, or by a new interpreter. Returns an exit status only if that fails."""
    command = plan["command"] or [
        plan["python"], "-P", "-u", "-m", "headway.training.rank", plan["script"], *plan["arguments"]
    ]  # fmt: skip
    program = command[0]
    try:
        os.execvp(program, command)  # noqa: S606 - a job's command is what runs here
    except PermissionError:
        print(f"headway: {program} cannot be executed: chmod +x it, or give its interpreter.", file=sys.stderr)
        return _NOT_EXECUTABLE
    except OSError as error:
        print(f"headway: {program} cannot be started: {error.strerror}.", file=sys.stderr)
        return _NOT_FOUND


def _run_warm(plan: dict[str, Any]) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python has it from its start
    _reseed(plan["threads"])
    run = current_run()
    _write_stacks_on_request(Path(plan["folder"]), run.rank)
    if plan["trainer"] is None:
        return _run_script(plan["script"], plan["arguments"], run)
    from headway.training.trainer import train

    return _guarded(lambda: train(plan, run), run)


def _reseed(threads: int) -> None:
    """Forks would share the random state that the forkserver drew at import, and its number of threads."""
    random.seed()
    if find_spec("numpy") is not None:
        import numpy

        numpy.random.seed()
    if find_spec("torch") is not None:
        import torch

        torch.seed()
        torch.set_num_threads(threads)


def _write_stacks_on_request(folder: Path, rank: int) -> None:
    """The file appears once the signal is handled, for before that it would end the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable(all_threads=True)
    path = folder / f"rank-{rank}.stacks"
    temporary = path.with_suffix(".new")
    file = temporary.open("ab")  # stays open: faulthandler writes to its descriptor
    faulthandler.register(STACKS_SIGNAL, file, all_threads=True)
    temporary.rename(path)
    _kept_open.append(file)


_kept_open: list[Any] = []


def _run_script(script: str, arguments: list[str], run: Run) -> int:
    path = Path(script).absolute()

    def work() -> None:
        sys.argv = [script, *arguments]
        sys.path.insert(0, str(path.parent))
        runpy.run_path(str(path), run_name="__main__")

    if not path.is_file():
        print(f"headway: script {script} is not in the working directory.", file=sys.stderr)
        return _NOT_FOUND
    return _guarded(work, run)


def _guarded(work: Any, run: Run) -> int:
    """Do the work; the exit status. An exception is printed, and recorded for the job's failure."""
    try:
        work()
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
    _print_all(text)
    summary = traceback.format_exception_only(error)[-1].strip()
    record = {
        "type": "rank_error",
        "error": summary[:4000],
        "traceback": text[-_TRACEBACK_CHARACTERS:],
        "secondary": any(sign in text for sign in _PEER_ERRORS) and run.world_size > 1,
        "out_of_memory": isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError",
    }
    run.record(record)


def _print_all(text: str) -> None:
    """Print to what is left of stderr: a script may have closed it."""
    try:
        sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


def _leave(status: int) -> int:
    """What the interpreter does at its end, short of destroying objects: threads, exit handlers, buffers."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    _print_all("")
    return status


def main() -> NoReturn:
    """A rank that starts cold: the process is new, so that what counts only at its start has counted."""
    status = 1
    try:
        run = current_run()
        if run.record_file is not None:
            _write_stacks_on_request(Path(run.record_file).parent, run.rank)
        status = _leave(_run_script(sys.argv[1], sys.argv[2:], run))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
