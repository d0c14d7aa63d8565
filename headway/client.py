"""The SDK: everything the command line does goes through here."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from httpx_sse import connect_sse

from headway.errors import (
    Corrupt,
    HeadwayError,
    InvalidInput,
    JobEnded,
    NotFound,
    SettingInvalid,
    Unavailable,
    error_from_problem,
)

DEFAULT_URL = "http://127.0.0.1:8420"
_TIMEOUT_SECONDS = 30.0
_FOLLOW_TIMEOUT_SECONDS = 60.0
_RETRIES_SECONDS = (0.1, 0.3, 1.0, 2.0)


@dataclass(frozen=True)
class Message:
    """One thing that happened to a followed job: an `event`, a `report` (lines and series) or, at last, the `end`."""

    kind: str
    data: dict[str, Any]
    cursor: str


class Client:
    """Talks to a server. Raises the errors of `headway.errors`; Unavailable when no server answers.

    `url` and `token` default to HEADWAY_SERVER_URL and HEADWAY_TOKEN, else to the server and the token file of the
    home (`~/.headway`, or HEADWAY_HOME).
    """

    def __init__(self, url: str | None = None, token: str | None = None, home: Path | None = None) -> None:
        home = home or Path(os.environ.get("HEADWAY_HOME") or Path.home() / ".headway")
        self.url = (url or os.environ.get("HEADWAY_SERVER_URL") or _url_of(home) or DEFAULT_URL).rstrip("/")
        self._token = token or os.environ.get("HEADWAY_TOKEN") or _token_of(home)
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=_TIMEOUT_SECONDS,
        )

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, spec: dict[str, Any], idempotency_key: str | None = None) -> JobHandle:
        """Submit a job. It is sent again, under the same key, until the server has it: never two jobs."""
        key = idempotency_key or secrets.token_hex(16)
        body = json.dumps(spec).encode()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        response = self._request("POST", "/jobs", content=body, headers=headers, retry=True)
        return JobHandle(self, response.json())

    def train(
        self, trainer: str, *, dataset: str, world_size: int = 1, name: str | None = None, **parameters: Any
    ) -> JobHandle:
        """Submit a built-in trainer: `client.train("cnn", dataset="mnist", epochs=2)`."""
        spec = {"trainer": trainer, "dataset": dataset, "parameters": parameters, "world_size": world_size}
        return self.submit({**spec, "name": name})

    def run_script(
        self, script: Path | str, arguments: Sequence[str] = (), *, world_size: int = 1, name: str | None = None
    ) -> JobHandle:
        """Submit one script file, which runs as torchrun would run it. Raises NotFound, InvalidInput."""
        spec = {
            "script": read_script(Path(script)),
            "arguments": list(arguments),
            "world_size": world_size,
            "name": name,
        }
        return self.submit(spec)

    def job(self, reference: str) -> JobHandle:
        """The job with that id or name. Raises NotFound."""
        return JobHandle(self, self._request("GET", f"/jobs/{quote(reference)}").json())

    def jobs(self, statuses: Sequence[str] = (), limit: int = 50) -> list[dict[str, Any]]:
        """Jobs, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            query: dict[str, Any] = {"limit": min(limit - len(found), 500), "status": list(statuses)}
            if cursor:
                query["cursor"] = cursor
            page = self._request("GET", "/jobs", params=query).json()
            found += page["jobs"]
            cursor = page["next"]
            if cursor is None:
                break
        return found

    def workers(self) -> list[dict[str, Any]]:
        """The workers that take assignments."""
        workers: list[dict[str, Any]] = self._request("GET", "/workers").json()
        return workers

    def _request(self, method: str, path: str, *, retry: bool = False, **options: Any) -> httpx.Response:
        waits = _RETRIES_SECONDS if retry or method == "GET" else ()
        for wait_seconds in (*waits, None):
            try:
                response = self._http.request(method, path, **options)
                if response.is_success:
                    return response
                error: HeadwayError = error_from_problem(response.status_code, _problem(response))
            except httpx.HTTPError as http_error:
                error = Unavailable(
                    f"No server answers at {self.url} ({http_error or type(http_error).__name__}). "
                    "Start one with `headway up`, or set HEADWAY_SERVER_URL."
                )
            if wait_seconds is None or not error.retryable:
                raise error
            time.sleep(wait_seconds)
        raise AssertionError("unreachable")


class JobHandle:
    """A submitted job. `data` is what the server said of it last."""

    def __init__(self, client: Client, data: dict[str, Any]) -> None:
        self._client = client
        self.data = data

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.data["id"])

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.data["name"])

    @property
    def status(self) -> str:
        """The status, as of the last `refresh`."""
        return str(self.data["status"])

    @property
    def result(self) -> dict[str, Any] | None:
        """The evaluation's figures, once the job has succeeded."""
        result: dict[str, Any] | None = self.data["result"]
        return result

    def refresh(self) -> JobHandle:
        """Ask the server how the job stands now."""
        self.data = self._client._request("GET", f"/jobs/{self.id}").json()
        return self

    def cancel(self) -> JobHandle:
        """End the job. Raises Conflict when it has ended."""
        self.data = self._client._request("POST", f"/jobs/{self.id}/cancel").json()
        return self

    def delete(self) -> None:
        """Delete the ended job with all that it made."""
        self._client._request("DELETE", f"/jobs/{self.id}")

    def wait(self) -> JobHandle:
        """Return when the job has succeeded. Raises JobEnded when it failed or was cancelled."""
        for _ in self.follow("events"):
            pass
        self.refresh()
        if self.status != "succeeded":
            raise JobEnded(f"Job {self.name} {self.status}: {self.data['sentence']}")
        return self

    def follow(self, include: str = "events,logs,metrics", cursor: str | None = None) -> Iterator[Message]:
        """All that happened and happens, until the job has ended. It goes on behind a lost connection by itself."""
        patience = iter((*_RETRIES_SECONDS, *[2.0] * 30))
        while True:
            try:
                for message in self._follow_once(include, cursor):
                    cursor = message.cursor
                    patience = iter((*_RETRIES_SECONDS, *[2.0] * 30))
                    yield message
                    if message.kind == "end":
                        return
            except (httpx.HTTPError, Unavailable) as error:
                wait_seconds = next(patience, None)
                if wait_seconds is None:
                    raise Unavailable(f"The server at {self._client.url} does not come back: {error}") from error
                time.sleep(wait_seconds)

    def _follow_once(self, include: str, cursor: str | None) -> Iterator[Message]:
        headers = {"Last-Event-ID": cursor} if cursor else {}
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, read=_FOLLOW_TIMEOUT_SECONDS)
        with connect_sse(
            self._client._http, "GET", f"/jobs/{self.id}/follow", params={"include": include}, headers=headers,
            timeout=timeout,
        ) as source:  # fmt: skip
            if not source.response.is_success:
                source.response.read()
                raise error_from_problem(source.response.status_code, _problem(source.response))
            for event in source.iter_sse():
                if event.data:  # a keep-alive has none
                    yield Message(event.event, event.json(), event.id)

    def events(self) -> list[dict[str, Any]]:
        """The job's events so far."""
        return [event for page in self._pages("events") for event in page["events"]]

    def logs(self) -> Iterator[dict[str, Any]]:
        """The job's log lines so far: attempt, worker, rank, at, text."""
        for page in self._pages("logs"):
            yield from page["lines"]

    def _pages(self, noun: str) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            params: dict[str, Any] = {"cursor": cursor} if cursor else {}
            page = self._client._request("GET", f"/jobs/{self.id}/{noun}", params=params).json()
            if page["cursor"] == cursor:
                return
            yield page
            cursor = page["cursor"]

    def metrics(
        self, names: Sequence[str] = (), attempt: int | None = None, points: int = 1000
    ) -> list[dict[str, Any]]:
        """The metric series of an attempt, the newest by default."""
        params: dict[str, Any] = {"name": list(names), "points": points}
        if attempt is not None:
            params["attempt"] = attempt
        series: list[dict[str, Any]] = self._client._request("GET", f"/jobs/{self.id}/metrics", params=params).json()[
            "series"
        ]
        return series

    def attempts(self) -> list[dict[str, Any]]:
        """All attempts, oldest first."""
        attempts: list[dict[str, Any]] = self._client._request("GET", f"/jobs/{self.id}/attempts").json()
        return attempts

    def download(self, artifact: str | None = None, folder: Path | str | None = None) -> list[Path]:
        """Download one artifact, or `model` for the model's files, or all; into a folder named like the job.

        Raises NotFound when the job has no such artifact, Corrupt when bytes were changed on the way.
        """
        self.refresh()
        target = Path(folder) if folder is not None else Path(self.name)
        chosen = [one for one in self.data["artifacts"] if _matches(one["name"], artifact)]
        if not chosen:
            names = ", ".join(one["name"] for one in self.data["artifacts"]) or "none"
            raise NotFound(f"Job {self.name} has no artifact {artifact or ''}; it has: {names}.")
        target.mkdir(parents=True, exist_ok=True)
        return [self._download(one, target) for one in chosen]

    def _download(self, artifact: dict[str, Any], folder: Path) -> Path:
        path: Path = folder / artifact["name"]
        temporary = path.with_name(f".{path.name}.part")
        digest = hashlib.sha256()
        url = f"/jobs/{self.id}/artifacts/{quote(artifact['name'])}"
        with self._client._http.stream("GET", url) as response, temporary.open("wb") as file:
            if not response.is_success:
                response.read()
                raise error_from_problem(response.status_code, _problem(response))
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != artifact["sha256"]:
            temporary.unlink()
            raise Corrupt(f"Artifact {path.name} does not match its hash; download it again.")
        temporary.rename(path)
        return path


def read_script(path: Path) -> dict[str, str]:
    """A script file as a spec has it. Raises NotFound, InvalidInput."""
    try:
        return {"filename": path.name, "source": path.read_text(encoding="utf-8")}
    except FileNotFoundError as error:
        raise NotFound(f"Script {path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Script {path} cannot be read: {error}.") from error


def _matches(name: str, wanted: str | None) -> bool:
    return wanted in (None, name) or (wanted == "model" and (name.startswith("model.") or name == "card.json"))


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _token_of(home: Path) -> str:
    try:
        return (home / "user.token").read_text().strip()
    except OSError as error:
        raise SettingInvalid(
            f"There is no token: {home / 'user.token'} cannot be read. Start a server with `headway up`, "
            "or set HEADWAY_TOKEN or HEADWAY_HOME."
        ) from error


def _url_of(home: Path) -> str | None:
    try:
        return (home / "server.url").read_text().strip() or None
    except OSError:
        return None
