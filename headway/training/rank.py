"""The life of one rank's process, from the fork to the end of the script.

A rank that starts cold runs this module as a program: `python -m headway.training.rank script|module NAME
ARGUMENTS...`.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from headway.errors import EnvironmentFailed
from headway.rank_protocol import rank_variables
from headway.rank_protocol.lifeline import die_with_parent
from headway.rank_protocol.paths import going_mark, log_file, stacks_file
from headway.rank_protocol.run_records import RankFinished
from headway.rank_protocol.stacks_signal import STACKS_SIGNAL
from headway.training import program
from headway.training.finished_ranks import tell_finished
from headway.training.import_hint import import_hint
from headway.training.meeting import mark_connections, mark_meeting
from headway.training.process_end import begin_script, end_interpreter, has_children, run_exit_handlers
from headway.training.rank_environment import rank_environment
from headway.training.rank_errors import record_error
from headway.training.rendezvous import share_store
from headway.training.run import Run
from headway.training.run import run as current_run

if TYPE_CHECKING:
    from headway.rank_protocol.plan import Plan

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes for a command that cannot be started, as in a shell."""
_SAME_SIGNAL_SECONDS = 0.03
"""A SIGTERM to all processes of a worker, which may make a script exit with 0 at once, also reaches the launcher."""


def run_rank(plan: Plan, local_rank: int) -> NoReturn:
    """Become the rank. Never returns."""
    status = 1
    try:
        launcher = os.getppid()
        os.setsid()
        die_with_parent(launcher)
        _enter(plan, local_rank)
        status = _become(plan) if plan.cold or _must_start_cold(plan) else _run_warm(plan)
        _finish(status)
        end_interpreter()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _finish(status: int) -> None:
    """Tell the launcher and the worker that the rank's work is done, if it is.

    The work is done when the script, its threads and its child processes have ended before Headway asked the rank to
    end. Only the rank's own process counts, not a fork of it. Later problems of the process are only warnings.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        if has_children():
            run_exit_handlers()  # one of them waits for the children
        if status == 0 and callable(signal.getsignal(signal.SIGTERM)) and not current_run().obeys_sigterm:
            time.sleep(_SAME_SIGNAL_SECONDS)
    except BaseException:  # raised by a signal handler; the interpreter ignores it as well
        traceback.print_exc()
    run = current_run()
    if status != 0 or run.interrupted or not run.of_this_process or run.record_file is None:
        return
    folder = Path(run.record_file).parent
    if run.asked_to_stop or not going_mark(folder).exists():
        return
    run.record(RankFinished(run.rank))
    tell_finished(folder, run.local_rank)


def _enter(plan: Plan, local_rank: int) -> None:
    """Set up files, variables, signals and random numbers as in a new process."""
    folder = plan.folder
    rank = plan.first_rank + local_rank
    output = os.open(log_file(folder, rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))  # signals since the fork arrive now
    begin_script()
    environment = rank_environment(plan, local_rank)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(plan.work)


def _must_start_cold(plan: Plan) -> bool:
    """Whether the job's PYTHONPATH would replace modules that are already imported. If so, say it in the log."""
    if plan.trainer is not None:
        return False
    reason = program.reason_to_start_cold(plan.variables.get("PYTHONPATH", ""))
    if reason is not None:
        print(f"headway: This rank starts cold: {reason}.", file=sys.stderr)
    return reason is not None


def _become(plan: Plan) -> int:
    """Replace this process by the command, or by a new interpreter. Returns an exit status only if that fails."""
    command = plan.command or [
        str(plan.python), "-P", "-u", "-m", "headway.training.rank", *_kind_and_name(plan), *plan.arguments
    ]  # fmt: skip
    name = command[0]
    try:
        os.execvp(name, command)  # noqa: S606 - running the job's command is the purpose
    except PermissionError:
        print(f"headway: {name} cannot be executed: run chmod +x on it, or name its interpreter.", file=sys.stderr)
        return _NOT_EXECUTABLE
    except OSError as error:
        print(f"headway: {name} cannot be started: {error.strerror}.{_start_hint(name, error)}", file=sys.stderr)
        return _NOT_FOUND


def _start_hint(name: str, error: OSError) -> str:
    """A hint for a command that cannot start. It starts with a space, or is empty."""
    if not os.path.isfile(name):
        return "" if os.sep in name else " It is neither on the worker's PATH nor a file of the working directory."
    if error.errno == errno.ENOEXEC:
        return f" Add a first line such as #!/bin/sh, or name its interpreter: bash {name}"
    if os.sep not in name:
        return f" It is a file of the working directory: ./{name}"
    return " The interpreter in its first line does not exist."


def _kind_and_name(plan: Plan) -> tuple[str, str]:
    return ("script", plan.script) if plan.script else ("module", plan.module or "")


def _run_warm(plan: Plan) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python sets it at its start
    _reseed(plan.threads)
    run = current_run()
    _write_stacks_on_request(plan.folder, run.rank)
    if plan.store is not None:
        share_store(plan.endpoint, plan.store)
    if plan.trainer is None:
        if plan.packages:
            program.enter_environment(str(plan.python), str(plan.packages))
        program.add_import_folders(plan.variables.get("PYTHONPATH", ""))
        return _run_program(*_kind_and_name(plan), plan.arguments, run)
    from headway.training.trainer import train

    return _guarded(lambda: train(plan, run), run)


def _reseed(threads: int) -> None:
    """Set new random states and the number of threads: forks would share those of the forkserver."""
    random.seed()
    if find_spec("numpy") is not None:
        import numpy

        numpy.random.seed()
    if find_spec("torch") is not None:
        import torch

        torch.seed()
        torch.set_num_threads(threads)


def _write_stacks_on_request(folder: Path, rank: int) -> None:
    """The file appears once the signal is handled: before that, the signal would end the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable(all_threads=True)
    path = stacks_file(folder, rank)
    temporary = path.with_suffix(".new")
    file = temporary.open("ab")  # stays open: faulthandler writes to its descriptor
    faulthandler.register(STACKS_SIGNAL, file, all_threads=True)
    temporary.rename(path)
    _kept_open.append(file)


_kept_open: list[Any] = []


def _run_program(kind: str, name: str, arguments: list[str], run: Run) -> int:
    if kind == "module":
        return _guarded(lambda: program.run_module(name, arguments), run)
    if not Path(name).is_file():
        print(f"headway: script {name} is not in the working directory.", file=sys.stderr)
        return _NOT_FOUND
    return _guarded(lambda: program.run_script(name, arguments), run, script=name)


def _guarded(work: Callable[[], object], run: Run, script: str | None = None) -> int:
    """Do the work and return the exit status. An exception is printed, and recorded as the job's failure.

    The status is fixed when the work has ended. An exception of a signal handler after that is printed and ignored.
    """
    status, folder = 1, os.getcwd()
    try:
        try:
            _mark_connections(run)
            work()
            status = 0
        except SystemExit as request:
            status = _exit_status(request)
        except BaseException as error:
            record_error(run, error, import_hint(error, script), folder)
        _mark_meeting(run)
    except BaseException:
        traceback.print_exc()
    return status


def _exit_status(request: SystemExit) -> int:
    """The exit status, as in the interpreter: a text is printed and means 1."""
    if request.code is None or isinstance(request.code, int):
        return (request.code or 0) & 0xFF
    print(request.code, file=sys.stderr)
    return 1


def _mark_connections(run: Run) -> None:
    if run.world_size > 1 and run.record_file is not None:
        mark_connections(Path(run.record_file).parent, os.environ.get(rank_variables.SERVER_URL, ""))


def _mark_meeting(run: Run) -> None:
    if run.world_size > 1 and run.record_file is not None:
        mark_meeting(Path(run.record_file).parent, os.environ.get(rank_variables.SERVER_URL, ""))


def _checked_run() -> Run:
    """The run of this process. Ends the process with a message if its Headway does not match the worker's."""
    try:
        return current_run()
    except EnvironmentFailed as error:
        print(f"headway: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def main() -> NoReturn:
    """Run a rank that starts cold. Settings that only take effect at a process's start have already done so."""
    status = 1
    try:
        begin_script()
        run = _checked_run()
        if run.record_file is not None:
            _write_stacks_on_request(Path(run.record_file).parent, run.rank)
        status = _run_program(sys.argv[1], sys.argv[2], sys.argv[3:], run)
        _finish(status)
        end_interpreter()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
