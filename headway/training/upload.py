"""Stores files of the attempt through the server, with the rank's own token; outlasts a server's restart."""

from __future__ import annotations

import http.client
import json
import logging
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from headway.errors import HeadwayError, Unavailable, error_from_problem
from headway.training.run import Run

_log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 60.0
_RETRY_SECONDS = 0.5


def store_artifact(run: Run, path: Path) -> None:
    """Upload a file and record it as the job's artifact. Tries for as long as the rank lives.

    Raises the error that the server names when it refuses, for example Conflict when the attempt has ended.
    """
    waiting = False
    while True:
        try:
            artifact = _put(run, path)
            run.record({"type": "artifact_stored", "artifact": artifact})
            return
        except (OSError, http.client.HTTPException, Unavailable) as error:
            if not waiting:
                _log.warning("Storing %s waits for the server: %s", path.name, error)
            waiting = True
            time.sleep(_RETRY_SECONDS)


def _put(run: Run, path: Path) -> dict[str, Any]:
    server = urlsplit(os.environ["HEADWAY_SERVER_URL"])
    kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
    connection = kind(server.hostname or "127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    target = f"/api/v1/jobs/{run.job}/attempts/{run.attempt}/artifacts/{quote(path.name)}"
    headers = {
        "Authorization": f"Bearer {os.environ['HEADWAY_RANK_TOKEN']}",
        "Content-Length": str(path.stat().st_size),
        "Content-Type": "application/octet-stream",
    }
    try:
        with path.open("rb") as file:
            connection.request("PUT", target, body=file, headers=headers)
            response = connection.getresponse()
            content = response.read()
        answer: dict[str, Any] = json.loads(content) if content else {}
        if response.status != 201:
            raise error_from_problem(response.status, answer)
        return answer
    except ValueError as error:
        raise HeadwayError(f"The server's answer about {path.name} cannot be read.") from error
    finally:
        connection.close()
