"""Lists of jobs, for clients."""

from __future__ import annotations

from datetime import datetime
from html import escape

from headway.client.job_handle import JobHandle


class Jobs(list[JobHandle]):
    """Jobs, in the order asked for. A notebook shows them as a table."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "No jobs."

    def _repr_html_(self) -> str:
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(job)) + "</tr>" for job in self)
        return f"<table><tr><th>name</th><th>status</th><th>ranks</th><th>submitted</th></tr>{rows}</table>"


def _cells(job: JobHandle) -> tuple[str, ...]:
    submitted = datetime.fromtimestamp(job.row["created_at"])
    return job.name, job.shown_status, str(job.row["world_size"]), f"{submitted:%Y-%m-%d %H:%M}"
