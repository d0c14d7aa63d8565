"""The name of a checkpoint in sentences. Standard library only: the command line starts without pydantic."""

from __future__ import annotations


def checkpoint_name(step: int, *, counted: bool) -> str:
    """Its step, or its count of saves if the step is not known."""
    return f"{'save' if counted else 'step'} {step:,}"
