"""Sizes and counts for people."""

from __future__ import annotations


def size(size_bytes: float) -> str:
    """A number of bytes for people, in units of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}" if unit != "B" else f"{size_bytes:.0f} B"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def counted(count: int, noun: str) -> str:
    """A number of things: "1 slot", "2,000 slots"."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
