"""The drill's server: a normal server, except that files can make its broker or its clock misbehave.

`python -m headway.drill.hostile_server FOLDER PORT HOME`. In FOLDER, the file `broker` makes the broker lose,
duplicate, delay and reorder messages, and the file `clock` contains the error of the wall clock in seconds.
"""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from headway.brokers.embedded import EmbeddedBroker
from headway.core.job import WakeUp
from headway.process_log import log_to_stderr
from headway.server.clock import Clock
from headway.server.main import serve
from headway.settings import load_settings

_HELD = 2


class HostileBroker(EmbeddedBroker):
    """Loses, duplicates, delays and reorders messages while `switch` exists; always, if there is no switch."""

    def __init__(self, seed: int, switch: Path | None = None) -> None:
        super().__init__()
        self._random = random.Random(seed)  # noqa: S311
        self._switch = switch
        self._held: list[bytes] = []
        self.dropped = self.doubled = self.delayed = 0

    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        for _ in range(self._random.choice([0, 1, 2]) if self._hostile() else 1):
            await super().publish_wakeup(wakeup)

    async def receive_report(self, body: bytes) -> None:
        match self._random.choice(["drop", "double", "delay", "pass"]) if self._hostile() else "pass":
            case "drop":
                self.dropped += 1
            case "double":
                self.doubled += 1
                await super().receive_report(body)
                await super().receive_report(body)
            case "delay":
                self.delayed += 1
                self._held.append(body)
            case _:
                await super().receive_report(body)
        if len(self._held) > _HELD:
            self._random.shuffle(self._held)
            for held in self._held:
                await super().receive_report(held)
            self._held.clear()

    def _hostile(self) -> bool:
        return self._switch is None or self._switch.exists()


class HostileClock(Clock):
    """A clock whose wall time is wrong by the seconds in a file. Its monotonic time is correct."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def machine_now(self) -> float:
        with suppress(OSError, ValueError):
            return time.time() + float(self._file.read_text())
        return time.time()


def main() -> None:
    """Serve until a signal."""
    folder, port, home = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    settings = load_settings(os.environ, port=port, home=home)
    log_to_stderr()
    serve(settings, embedded=HostileBroker(0, folder / "broker"), clock=HostileClock(folder / "clock"))


if __name__ == "__main__":
    main()
