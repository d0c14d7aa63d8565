"""Working directories like those of users, and the output and metrics of their jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headway.client import JobHandle

EXAMPLES = Path(__file__).parents[2] / "examples"


def texts(job: JobHandle, rank: int | None = None) -> list[str]:
    return [line["text"] for line in job.logs() if rank in (None, line["rank"])]


def series(job: JobHandle) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in job.metrics().series if one["rank"] == 0}


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_sh", ".sh").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
