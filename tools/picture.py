"""Draws the README's picture: a job that is killed and resumes, recorded from a real fleet.

`python -m tools.picture` starts a server and a worker of its own and writes docs/picture.svg. It takes half a minute.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "picture.svg"
_COLUMNS = 92
_KILL = "headway exec digits -- sh -c 'kill -9 $HEADWAY_RANK_PID'"
_COMMANDS = (
    "headway run train.py --name digits --dataset digits -w 2 -- --epochs 40 --pause 0.01",
    "headway jobs",
)
_WAIT_SECONDS = 60.0
_WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fonts that a viewer would fetch from elsewhere; without them it uses its own."""
_CONTROL = re.compile(r"\x1b\[\??([0-9;]*)([A-Za-z])")


def main() -> None:
    """Record the commands and write the picture."""
    with tempfile.TemporaryDirectory(prefix="headway-picture-") as home:
        environment = {**os.environ, "HEADWAY_HOME": home, "COLUMNS": str(_COLUMNS), "TERM": "xterm-256color"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment.pop("NO_COLOR", None)
        up = subprocess.Popen(["headway", "up", "--port", "0"], env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_for('"ready"', "headway workers --json", environment)
            folder = Path(home, "digits")
            folder.mkdir()
            shutil.copy(ROOT / "examples" / "resume.py", folder / "train.py")
            _record(folder, environment)
        finally:
            up.terminate()
            up.wait()


def _record(folder: Path, environment: dict[str, str]) -> None:
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), color_system="truecolor")
    killer = threading.Thread(target=_kill_after_a_checkpoint, args=(environment,))
    killer.start()
    console.print(Text(f"# meanwhile, in another terminal: {_KILL}", "bright_black"))
    for command in _COMMANDS:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        for line in _screen(_run_in_terminal(command, folder, environment)):
            console.print(Text.from_ansi(line))
    killer.join()
    drawn = console.export_svg(title="A rank is killed, and the job resumes", theme=MONOKAI, unique_id="headway")
    PICTURE.write_text(_WEB_FONT.sub("", drawn))


def _kill_after_a_checkpoint(environment: dict[str, str]) -> None:
    _wait_for('"complete": true', "headway checkpoints digits --json", environment)
    subprocess.run(_KILL, shell=True, env=environment, capture_output=True, check=False)  # noqa: S602


def _wait_for(words: str, command: str, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while (
        words
        not in subprocess.run(command.split(), env=environment, capture_output=True, text=True, check=False).stdout
    ):
        if time.monotonic() > deadline:
            raise SystemExit(f"`{command}` did not print {words} within {_WAIT_SECONDS:.0f} s.")
        time.sleep(0.2)


def _run_in_terminal(command: str, folder: Path, environment: dict[str, str]) -> str:
    """All that a command writes to a terminal."""
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            chunk = os.read(reader, 1 << 16)
        except OSError:  # the terminal is closed
            break
        if not chunk:
            break
        written += chunk
    process.wait()
    os.close(reader)
    return written.decode()


def _screen(written: str) -> list[str]:
    """The lines that are left on the screen, with their colours; bars that were drawn over are gone."""
    lines, row, position = [""], 0, 0
    while position < len(written):
        control = _CONTROL.match(written, position)
        if control is not None:
            position = control.end()
            if control[2] == "A":
                row = max(0, row - int(control[1] or 1))
            elif control[2] == "K":
                lines[row] = ""
            elif control[2] == "m":
                lines[row] += control[0]
            continue
        character = written[position]
        position += 1
        if character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif character != "\r":
            lines[row] += character
    while lines and not _CONTROL.sub("", lines[-1]).strip():
        lines.pop()
    return lines


if __name__ == "__main__":
    main()
