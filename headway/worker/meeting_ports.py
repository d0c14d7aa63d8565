"""The ports where the ranks of an attempt meet, on the machine of rank 0."""

from __future__ import annotations

import socket
import sys
from typing import Self

from headway.errors import CannotStartRanks

_TRIES = 100


class MeetingPorts:
    """Two consecutive ports, reserved for the attempt.

    Headway's store listens on the first. The second is the ranks' MASTER_PORT. It is bound, so that no other program
    gets it, but has no listener, so that rank 0 may serve anything there, such as JAX's coordinator.
    """

    def __init__(self, host: str) -> None:
        """Raises CannotStartRanks when there is no such pair."""
        self._host = host
        for _ in range(_TRIES):
            try:
                self.listener = socket.create_server((host, 0), backlog=1024)
            except OSError as error:
                raise CannotStartRanks(f"no port of {host} can be listened on: {error}") from error
            self._reserved = socket.socket(self.listener.family)
            try:
                self._reserved.bind((host, self.listener.getsockname()[1] + 1))
            except (OSError, OverflowError):
                self.close()
                continue
            # Linux lets another socket bind the same port if both set SO_REUSEADDR and neither listens.
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return
        raise CannotStartRanks(f"no two consecutive free ports were found on {host} in {_TRIES} tries")

    @property
    def endpoint(self) -> str:
        """`host:port` as the ranks get it."""
        return f"{self._host}:{self._reserved.getsockname()[1]}"

    def launched(self) -> None:
        """The launcher has the listener now. On other systems than Linux, the second port is released for the ranks."""
        self.listener.close()
        if sys.platform != "linux":
            self._reserved.close()

    def close(self) -> None:
        """Release both ports."""
        self.listener.close()
        self._reserved.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def store_of(endpoint: str) -> str:
    """`host:port` of the store, from the ranks' endpoint."""
    host, _, port = endpoint.rpartition(":")
    return f"{host}:{int(port) - 1}"
