"""A submitted job, for clients."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse

from headway.client.connection import RETRIES_SECONDS, TIMEOUT_SECONDS, Connection, error_of
from headway.client.downloads import download, download_file
from headway.client.message import Message
from headway.client.metrics import Metrics
from headway.client.short_errors import with_short_errors
from headway.client.watched import watched
from headway.core.status import shown_status
from headway.errors import JobEnded, NotFound, Unavailable
from headway.rank_protocol.paths import MODEL_FILES

_FOLLOW_TIMEOUT_SECONDS = 60.0
_RECONNECT_SECONDS = (*RETRIES_SECONDS, *[2.0] * 30)


@with_short_errors
class JobHandle:
    """A submitted job. One of a list knows its row, and asks the server for the rest when it is needed."""

    def __init__(
        self, connection: Connection, data: dict[str, Any] | None = None, *, row: dict[str, Any] | None = None
    ) -> None:
        self._connection = connection
        self._data = data
        self.row = row or {}
        """The job as a list showed it: what most programs need. Empty if the handle is not of a list."""

    @property
    def data(self) -> dict[str, Any]:
        """The server's last answer about the job."""
        if self._data is None:
            self.refresh()
        return self._data or {}

    @data.setter
    def data(self, answer: dict[str, Any]) -> None:
        self._data = answer

    @property
    def _known(self) -> dict[str, Any]:
        """What both have: id, name, status, sentence and others."""
        return self._data or self.row

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self._known["id"])

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self._known["name"])

    @property
    def status(self) -> str:
        """The status, as of the last `refresh`."""
        return str(self._known["status"])

    @property
    def shown_status(self) -> str:
        """The status as people call it: a job that is queued on hold is paused."""
        return shown_status(self.status, hold=self._known["hold"])

    def __repr__(self) -> str:
        return f"Job {self.name} ({self.id}): {self.shown_status}. {self._known['sentence']}".rstrip()

    def _repr_html_(self) -> str:
        from html import escape

        sentence = escape(self._known["sentence"])
        return f"Job <b>{escape(self.name)}</b> ({self.id}): <b>{self.shown_status}</b>. {sentence}"

    @property
    def result(self) -> dict[str, Any] | None:
        """The evaluation's figures, once the job has succeeded."""
        result: dict[str, Any] | None = self.data["result"]
        return result

    def refresh(self) -> JobHandle:
        """Read the job's state from the server again."""
        self.data = self._connection.request("GET", f"/jobs/{self.id}").json()
        return self

    @property
    def value(self) -> Any:
        """The return value on rank 0 of the function of `Client.run`, if it can be written as JSON."""
        return (self.data["result"] or {}).get("value")

    def cancel(self, *, kill: bool = False) -> JobHandle:
        """End the job; with `kill`, without time to save. Raises Conflict when it has ended."""
        self.data = self._connection.request("POST", f"/jobs/{self.id}/cancel", params={"kill": kill}).json()
        return self

    def pause(self) -> JobHandle:
        """Ask the ranks to save and end; the job keeps its place in the queue until `resume`. Raises Conflict.

        `data["sentence"]` says what will happen: a job that saves nothing starts from the beginning when it is resumed.
        """
        self.data = self._connection.request("POST", f"/jobs/{self.id}/pause").json()
        return self

    def resume(self) -> JobHandle:
        """Let the paused job continue from its newest checkpoint. Raises Conflict when it is not paused."""
        self.data = self._connection.request("POST", f"/jobs/{self.id}/resume").json()
        return self

    def checkpoints(self) -> list[dict[str, Any]]:
        """The checkpoints that are kept, oldest first, then those being saved."""
        found: list[dict[str, Any]] = self._connection.request("GET", f"/jobs/{self.id}/checkpoints").json()
        return found

    def download_checkpoint(self, step: int | None = None, folder: Path | str | None = None) -> list[Path]:
        """Download the checkpoint of a step, the newest if none is given: a file per rank.

        A file is for `torch.load`; of kind files or shards it is a tar archive. Raises NotFound, Corrupt.
        """
        if step is None:
            complete = [one["step"] for one in self.checkpoints() if one["complete"]]
            if not complete:
                raise NotFound(f"Job {self.name} has no complete checkpoint.")
            step = complete[-1]
        target = Path(folder) if folder is not None else Path(self.name)
        url = f"/jobs/{self.id}/checkpoints/{step}"
        return [
            download_file(
                self._connection,
                f"{url}/{part['rank']}",
                target / f"step-{step}" / f"rank-{part['rank']}.{'pt' if part['kind'] == 'state' else 'tar'}",
                part["size_bytes"],
                part["sha256"],
            )
            for part in self._connection.request("GET", url).json()
        ]

    def describe(self, *, labels: dict[str, str] | None = None, notes: str | None = None) -> JobHandle:
        """Replace all labels, or the notes. None leaves them as they are."""
        changes = {name: value for name, value in (("labels", labels), ("notes", notes)) if value is not None}
        self.data = self._connection.request("PATCH", f"/jobs/{self.id}", json=changes).json()
        return self

    def rerun(self, **changes: Any) -> JobHandle:
        """Submit the same spec again under another name, with changes: `job.rerun(arguments=["--lr", "0.2"])`.

        Mappings (parameters, env, labels, where, metrics, environment, checkpoints) are changed entry by entry. Other
        fields are replaced. None removes an entry or a field. With `from_checkpoint="JOB"` or `"JOB@STEP"` the job
        starts from that checkpoint, otherwise from the beginning. Raises InvalidInput, NameTaken.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return JobHandle(self._connection, self._send_changes("rerun", changes, headers))

    def plan_rerun(self, **changes: Any) -> dict[str, Any]:
        """Check the spec that `rerun` would submit, and tell where it would run or why it waits. Nothing is stored."""
        return self._send_changes("rerun/plan", changes, {})

    def _send_changes(self, verb: str, changes: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        path = f"/jobs/{self.id}/{verb}"
        answer: dict[str, Any] = self._connection.request(
            "POST", path, json=changes, headers=headers, retry=True
        ).json()
        return answer

    def execute(self, command: Sequence[str], *, rank: int = 0, timeout_seconds: float = 60.0) -> dict[str, Any]:
        """Run a command beside a rank of the running job. Returns exit_code, output and error."""
        body = {"command": list(command), "rank": rank, "timeout_seconds": timeout_seconds}
        response = self._connection.request(
            "POST", f"/jobs/{self.id}/exec", json=body, timeout=timeout_seconds + TIMEOUT_SECONDS
        )
        answer: dict[str, Any] = response.json()
        return answer

    def stacks(self) -> str:
        """The Python stacks of all ranks of the running job."""
        answers = self._connection.request("POST", f"/jobs/{self.id}/stacks").json()
        return "\n".join(answer["output"] or answer["error"] or "" for answer in answers)

    def delete(self) -> None:
        """Delete the ended job with its logs, metrics and files."""
        self._connection.request("DELETE", f"/jobs/{self.id}")

    def wait(self, *, progress: bool | None = None) -> JobHandle:
        """Return when the job has succeeded. Raises JobEnded when it failed or was cancelled.

        Terminals and notebooks show the progress, unless `progress` is False.
        """
        if watched() if progress is None else progress:
            from headway.client.shown_progress import follow_with_progress

            follow_with_progress(self)
        else:
            for _ in self.follow("events"):
                pass
        self.refresh()
        if self.status != "succeeded":
            raise JobEnded(f"Job {self.name} {self.status}: {self.data['sentence']}")
        return self

    def follow(self, include: str = "events,logs,metrics", cursor: str | None = None) -> Iterator[Message]:
        """Everything that happened and happens to the job, until it has ended.

        It reconnects by itself, for about a minute. Messages `away` and `back` tell when no server answered.
        """
        waits = iter(_RECONNECT_SECONDS)
        away = False
        while True:
            try:
                for message in self._follow_once(include, cursor):
                    cursor, waits = message.cursor, iter(_RECONNECT_SECONDS)
                    if away:
                        away = False
                        yield Message("back", {"sentence": "The server is back."}, cursor)
                    yield message
                    if message.kind == "end":
                        return
            except Unavailable as error:
                wait_seconds = next(waits, None)
                if wait_seconds is None:
                    raise Unavailable(f"The server at {self._connection.url} does not come back: {error}") from error
                if not away and wait_seconds > RETRIES_SECONDS[0]:  # the first new try is at once
                    away = True
                    sentence = f"No server answers at {self._connection.url}. The job continues; trying again."
                    yield Message("away", {"sentence": sentence}, cursor or "")
                time.sleep(wait_seconds)

    def _follow_once(self, include: str, cursor: str | None) -> Iterator[Message]:
        headers = {"Last-Event-ID": cursor} if cursor else {}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=_FOLLOW_TIMEOUT_SECONDS)
        try:
            with connect_sse(
                self._connection.http, "GET", f"/jobs/{self.id}/follow", params={"include": include}, headers=headers,
                timeout=timeout,
            ) as source:  # fmt: skip
                if not source.response.is_success:
                    source.response.read()
                    raise error_of(source.response)
                for event in source.iter_sse():
                    if event.data:  # a keep-alive has none
                        data = event.json()
                        data.pop("kind", None)
                        yield Message(event.event, data, event.id)
        except httpx.HTTPError as error:
            raise self._connection.unavailable(error) from error

    def events(self) -> list[dict[str, Any]]:
        """The job's events so far."""
        return [event for page in self._pages("events") for event in page["events"]]

    def logs(self) -> Iterator[dict[str, Any]]:
        """The job's log lines so far: attempt, worker, rank, at, text.

        Lines without a line end, such as bars, come last, in their newest state, with `partial`.
        """
        unfinished: dict[tuple[int, str, int], dict[str, Any]] = {}
        for page in self._pages("logs"):
            for line in page["lines"]:
                place = line["attempt"], line["worker"], line["rank"]
                unfinished.pop(place, None)
                if line.get("partial"):
                    unfinished[place] = line
                else:
                    yield line
        yield from unfinished.values()

    def logs_so_far(self) -> tuple[str, list[dict[str, Any]]]:
        """The log lines so far, and the cursor behind them for `follow`."""
        cursor, lines = "", []
        for page in self._pages("logs"):
            cursor = page["cursor"]
            lines += [line for line in page["lines"] if not line.get("partial")]
        return cursor, lines

    def _pages(self, noun: str) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            params: dict[str, Any] = {"cursor": cursor} if cursor else {}
            page = self._connection.request("GET", f"/jobs/{self.id}/{noun}", params=params).json()
            if page["cursor"] == cursor:
                return
            yield page
            cursor = page["cursor"]

    def metrics(self, names: Sequence[str] = (), attempt: int | None = None, points: int = 1000) -> Metrics:
        """The metrics of the job, with each step once; or those of one attempt. Each has at most `points` points."""
        params: dict[str, Any] = {"name": list(names), "points": points}
        if attempt is not None:
            params["attempt"] = attempt
        answer = self._connection.request("GET", f"/jobs/{self.id}/metrics", params=params).json()
        return Metrics(answer["series"])

    def goodput(self) -> dict[str, Any]:
        """Seconds of useful and of repeated training, of starting, waiting and pauses; and the useful fraction."""
        found: dict[str, Any] = self._connection.request("GET", f"/jobs/{self.id}/goodput").json()
        return found

    def attempts(self) -> list[dict[str, Any]]:
        """All attempts, oldest first."""
        attempts: list[dict[str, Any]] = self._connection.request("GET", f"/jobs/{self.id}/attempts").json()
        return attempts

    def download(self, artifact: str | None = None, folder: Path | str | None = None) -> list[Path]:
        """Download one artifact, or `model` for the model's files, or all; into a folder named like the job.

        An interrupted download continues where it stopped. Raises NotFound when the job has no such artifact,
        Corrupt when the bytes do not match.
        """
        self.refresh()
        target = Path(folder) if folder is not None else Path(self.name)
        chosen = [one for one in self.data["artifacts"] if _matches(one["name"], artifact)]
        if not chosen:
            names = ", ".join(one["name"] for one in self.data["artifacts"])
            if not names:
                raise NotFound(f"Job {self.name} has kept no files.")
            raise NotFound(f"Job {self.name} has no artifact {artifact}; it has: {names}.")
        chosen.sort(key=lambda one: one["link_to"] is not None)  # files first, then the links to them
        hashes = {one["name"]: one["sha256"] for one in chosen if one["link_to"] is None}
        return [
            download(self._connection, self.id, one, target, linked=hashes.get(one["link_to"]) == one["sha256"])
            for one in chosen
        ]


def _matches(name: str, wanted: str | None) -> bool:
    return wanted in (None, name) or (wanted == "model" and name in MODEL_FILES)
