"""What a checkpoint is called in sentences. Standard library only, for the command line starts without pydantic."""

from __future__ import annotations


def checkpoint_name(step: int, *, counted: bool) -> str:
    """By its step, or by the count of saves if nothing told a step."""
    return f"{'save' if counted else 'step'} {step:,}"
