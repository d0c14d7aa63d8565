"""`make demo`: starts Headway in this checkout, trains the CNN on MNIST with two ranks, and shuts down."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".headway-demo"
HEADWAY = [sys.executable, "-m", "headway"]
START_SECONDS = 60


def main() -> int:
    """The exit status of the training."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(mode=0o700)
    environment = {**os.environ, "HEADWAY_HOME": str(HOME)}
    environment.pop("HEADWAY_SERVER_URL", None)
    environment.pop("HEADWAY_TOKEN", None)
    with (HOME / "headway.log").open("wb") as log:
        up = subprocess.Popen(
            [*HEADWAY, "up", "--port", "0", "--slots", "2"], env=environment, stdout=log, stderr=log
        )  # fmt: skip
    try:
        wait_until_up(up)
        print(f"Headway is up (log: {HOME / 'headway.log'}). Watch it in a browser, by a link that works once:")
        print(f"  {link(environment)}")
        print("Training the CNN on MNIST with two ranks ...", flush=True)
        seed = os.environ.get("HEADWAY_DEMO_SEED", "0")
        train = "train cnn --name demo --dataset mnist --epochs 2 --world-size 2"
        settings = ["--set", "batch_size=64", "--set", "dataset_size=20000", "--set", f"seed={seed}"]
        status = subprocess.run([*HEADWAY, *train.split(), *settings], env=environment, check=False).returncode
        if status == 0:
            model = HOME / "model"
            download = [*HEADWAY, "download", "demo", "model", "--to", str(model)]
            subprocess.run(download, env=environment, check=True, stdout=subprocess.DEVNULL)
            print(f"\nModel: {model / 'model.safetensors'}")
            if sys.stdin.isatty() and sys.stdout.isatty():
                keep_running(environment)
            print_next()
        return status
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def wait_until_up(up: subprocess.Popen[bytes]) -> None:
    """Return once the server has written its address."""
    deadline = time.monotonic() + START_SECONDS
    while not (HOME / "server.url").exists():
        if up.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Headway did not start:\n{(HOME / 'headway.log').read_text()}")
        time.sleep(0.05)


def link(environment: dict[str, str]) -> str:
    """A link that opens the page once."""
    made = subprocess.run([*HEADWAY, "link"], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.strip()


def keep_running(environment: dict[str, str]) -> None:
    """Let the user look around in the page."""
    print(f"The page: {link(environment)}")
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        input("Press Enter to stop Headway. ")


def print_next() -> None:
    """Print what to try next. Each line works as printed, from any folder."""
    program = Path(sys.executable).parent
    print("The demo's server has stopped. Start it again, with this job in it:")
    print(f"  {program / 'headway'} up --home {HOME}")
    print("Then, in a second terminal:")
    print(f"  export HEADWAY_HOME={HOME} PATH={program}:$PATH")
    print("  headway show demo")
    print("  headway train lstm --dataset mnist --world-size 2")
    print(f"  headway run {CHECKOUT / 'examples' / 'ddp.py'} --world-size 2")


if __name__ == "__main__":
    sys.exit(main())
