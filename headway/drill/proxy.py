"""A TCP proxy that can stop forwarding bytes, both ways or one way, like a cut network."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Forwards connections to a local port. `cut_up`: nothing reaches the server; `cut_down`: nothing comes back.

    Connections stay open meanwhile. Data that is sent during a cut is lost, and its connection ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut_up = self.cut_down = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    client.close()
                    continue
                threading.Thread(target=self._pass, args=(client, server, "cut_up"), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, "cut_down"), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, cut: str) -> None:
        lost = False
        with suppress(OSError):
            while content := source.recv(_CHUNK_BYTES):
                lost |= bool(getattr(self, cut))
                if lost:
                    if not getattr(self, cut):
                        break  # the network is back: lost bytes cannot be restored, so the connection ends
                    continue
                target.sendall(content)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()  # the other direction closes the other one
