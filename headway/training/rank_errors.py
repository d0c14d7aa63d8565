"""Prints and records the exception that ended a rank's script."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from headway.rank_protocol.paths import CALL_SCRIPT
from headway.rank_protocol.peer_errors import PEER_ERRORS
from headway.rank_protocol.run_records import RankError
from headway.training import program
from headway.training.run import Run

_TRACEBACK_CHARACTERS = 20_000
_NAMED_EXCEPTIONS = 5
"""How many exceptions of a group its summary names."""
_STARTERS = (*(str(Path(__file__).with_name(name)) for name in ("rank.py", "function.py")), program.__file__)
"""The modules whose frames are above those of the script or function."""


def _is_starter(file: str) -> bool:
    """Whether a frame's file is Headway's or runpy's, above the script or function."""
    return file in _STARTERS or "runpy" in file or file.endswith(f"{os.sep}{CALL_SCRIPT}")


def record_error(run: Run, error: BaseException, hint: str | None, folder: str) -> None:
    """Print the error that ended the script, and record it for the job's failure.

    `hint`: a sentence that helps. `folder`: the working directory, to which the paths of files are shown relative.
    """
    frame = error.__traceback__
    while frame is not None and _is_starter(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    text = "".join(traceback.format_exception(type(error), error, frame))
    text = text.replace(f'File "{folder}{os.sep}', 'File "')  # the user knows these files by their relative paths
    summary = _summary(error)
    if hint is not None:
        text += f"headway: {hint}\n"
        summary = f"{summary}. {hint}"
    _print_all(text)
    if not run.of_this_process:
        return
    record = RankError(
        error=summary[:4000],
        traceback=text[-_TRACEBACK_CHARACTERS:],
        secondary=any(sign in text for sign in PEER_ERRORS) and run.world_size > 1,
        out_of_memory=isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError",
    )
    run.record(record)


def _summary(error: BaseException) -> str:
    """The exception's type and message; for a group also those of its first exceptions."""
    if not isinstance(error, BaseExceptionGroup):
        return _type_and_message(error)
    first = map(_type_and_message, error.exceptions[:_NAMED_EXCEPTIONS])
    return f"{_type_and_message(error)}: {'; '.join(first)}"


def _type_and_message(error: BaseException) -> str:
    """Without notes, which the traceback has. A syntax error has the file and line, but not the source."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}"
    said = traceback.TracebackException(type(error), error, None, compact=True)
    said.__notes__ = None
    return "".join(said.format_exception_only()).strip()


def _print_all(text: str) -> None:
    """Print to stderr, or to its descriptor if the script has closed it."""
    try:
        sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
