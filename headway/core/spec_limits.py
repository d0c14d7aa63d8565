"""Limits of a new spec. They are checked at submission only: stored specs of older versions may exceed them."""

from __future__ import annotations

from collections.abc import Iterator

from headway.core.environment import check_variable
from headway.core.job import JobSpec
from headway.core.start_variables import counts_only_when
from headway.errors import InvalidInput

MAXIMUM_WORD_BYTES = 64 << 10
"""The limit of one argument, variable or parameter: Linux allows 128 KiB each (execve(2))."""
MAXIMUM_WORDS_BYTES = 512 << 10
"""The limit of all together: a process gets its arguments and variables in one block."""
MAXIMUM_NAME_CHARACTERS = 200
MAXIMUM_PATTERN_CHARACTERS = 1000
MAXIMUM_GLOB_CHARACTERS = 1024


def check_limits(spec: JobSpec) -> None:
    """Raises InvalidInput that names the field of a spec that exceeds a limit."""
    if spec.trainer is not None:
        _check_trainer_variables(spec)
    for field in ("trainer", "dataset"):
        _check_characters(getattr(spec, field) or "", MAXIMUM_NAME_CHARACTERS, field)
    for glob in spec.outputs:
        _check_characters(glob, MAXIMUM_GLOB_CHARACTERS, "outputs")
    for name, pattern in spec.metrics.items():
        _check_characters(name, MAXIMUM_NAME_CHARACTERS, "metrics")
        _check_characters(pattern, MAXIMUM_PATTERN_CHARACTERS, f"metrics: the pattern of {name}")
    for name in (*spec.env, *spec.parameters):
        _check_characters(name, MAXIMUM_NAME_CHARACTERS, "env" if name in spec.env else "parameters")
    total_bytes = 0
    for subject, word in _words(spec):
        size_bytes = len(word.encode(errors="surrogatepass"))
        total_bytes += size_bytes
        if size_bytes > MAXIMUM_WORD_BYTES:
            raise InvalidInput(f"{subject} has {size_bytes:,} bytes; {MAXIMUM_WORD_BYTES:,} are allowed.")
    if total_bytes > MAXIMUM_WORDS_BYTES:
        raise InvalidInput(
            f"Arguments, variables and parameters have {total_bytes:,} bytes together; {MAXIMUM_WORDS_BYTES:,} are "
            "allowed. Put them into a file of the working directory."
        )


def _check_trainer_variables(spec: JobSpec) -> None:
    for name in spec.env:
        try:
            check_variable(name, f"variable {name}")
        except ValueError as error:
            raise InvalidInput(f"env: {error}.") from error
        moment = counts_only_when(name)
        if moment is not None:
            raise InvalidInput(f"env: {name} counts only when {moment}, and trainers start warm. Leave it out.")


def _words(spec: JobSpec) -> Iterator[tuple[str, str]]:
    for number, word in enumerate(spec.command):
        yield f"command: word {number}", word
    for number, word in enumerate(spec.arguments):
        yield f"arguments: number {number}", word
    for name, value in spec.env.items():
        yield f"env: {name}", value
    for name, parameter in spec.parameters.items():
        yield f"parameters: {name}", parameter if isinstance(parameter, str) else ""


def _check_characters(text: str, maximum: int, subject: str) -> None:
    if len(text) > maximum:
        raise InvalidInput(f"{subject} has {len(text):,} characters ({text[:40]!r}...); {maximum:,} are allowed.")
