"""The Kubernetes cluster that tests of its engine need: `kubernetes/cluster` in the folder of HEADWAY_SERVICES.

There is one on a machine. The first test that needs it starts it, and it stays up for the tests after it.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services import FOLDER, missing

_LOCK = Path(tempfile.gettempdir()) / "headway-tests-cluster.lock"
_IMAGES = Path("/var/tmp/headway-tests-images")  # not below /tmp, which pods have of their own
TOY_IMAGE = "headway/toy"
"""Its `headway` is a shell script that does what the variable BEHAVIOUR says, in place of a worker."""
CHECKOUT_IMAGE = "headway/checkout"
"""Has this checkout and its environment."""
_TOY = """#!/bin/sh
trap 'echo leaving >&2; exit 75' TERM
echo "started by $(id -u) with $*"
case "$BEHAVIOUR" in
  brief) sleep 4; exit 3;;
  fail) echo "no such token" >&2; exit 3;;
  eat) exec python3 -c 'import time; taken = bytearray(300 << 20); time.sleep(600)';;
esac
while :; do sleep 0.1; done
"""


def program(*words: str, check: bool = True, text: str | None = None) -> str:
    """`cluster WORDS`: what it prints."""
    if FOLDER is None:
        missing("HEADWAY_SERVICES is not set: there is no Kubernetes cluster to test with")
    command = [str(Path(str(FOLDER)) / "kubernetes" / "cluster"), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=text)
    assert not check or done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextmanager
def cluster_lock(*, alone: bool) -> Iterator[None]:
    """No other test disturbs the cluster meanwhile. With `alone`, no other test uses it."""
    with _LOCK.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def start_cluster() -> Path:
    """The kubeconfig file of the cluster, which is started if it is not up."""
    with (_LOCK.with_suffix(".start")).open("ab") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if "NAME" not in program("status", check=False):
            _make_images()
            images = [f"--image={TOY_IMAGE}={_IMAGES / 'toy'}", f"--image={CHECKOUT_IMAGE}={_IMAGES / 'checkout'}"]
            program("up", "--nodes=2", "--gpus=2", "--node-grace=120", "--eviction-delay=30", *images)
    return Path(program("kubeconfig").strip())


def _make_images() -> None:
    shutil.rmtree(_IMAGES, ignore_errors=True)
    _write_program(_IMAGES / "toy", _TOY)
    image = _IMAGES / "checkout"
    # Threads of ranks must not spin: pods share the cores with all tests.
    variables = f"OMP_WAIT_POLICY=passive LD_LIBRARY_PATH={image}/python/lib"
    _write_program(image, f'#!/bin/sh\n{variables} exec {image}/bin/python -m headway "$@"\n')
    # The user of pods may not read a Python that lies in root's home.
    python, version = image / "python", f"python{sys.version_info.major}.{sys.version_info.minor}"
    unneeded = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "share", "include")
    shutil.copytree(sys.base_prefix, python, symlinks=True, ignore=unneeded)
    (image / "pyvenv.cfg").write_text(f"home = {python}/bin\n")
    (image / "bin" / "python").symlink_to(python / "bin" / version)
    (image / "lib").symlink_to(Path(sys.prefix) / "lib")


def _write_program(image: Path, text: str) -> None:
    """The image's `headway`."""
    (image / "bin").mkdir(parents=True)
    (image / "bin" / "headway").write_text(text)
    (image / "bin" / "headway").chmod(0o755)


class Namespace:
    """A namespace of the cluster for one test."""

    def __init__(self, name: str, kubeconfig: Path) -> None:
        self.name = name
        self.kubeconfig = kubeconfig

    def kubectl(self, *words: str, text: str | None = None, check: bool = True) -> str:
        """`kubectl` in the namespace."""
        return program("kubectl", "-n", self.name, *words, text=text, check=check)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Make an object."""
        self.kubectl("apply", "-f", "-", text=json.dumps(manifest))

    def behave(self, behaviour: str) -> None:
        """A Secret `toy` that says what the pods of the toy image are to do."""
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"toy-{behaviour}"}}
        self.apply({**secret, "stringData": {"behaviour": behaviour}})

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return found


@contextmanager
def new_namespace() -> Iterator[Namespace]:
    """An empty namespace, deleted afterwards."""
    kubeconfig = start_cluster()
    name = f"test-{secrets.token_hex(4)}"
    program("kubectl", "create", "namespace", name)
    until(lambda: "default" in program("kubectl", "-n", name, "get", "serviceaccounts", check=False))
    try:
        yield Namespace(name, kubeconfig)
    finally:
        program("kubectl", "delete", "namespace", name, "--wait=false", check=False)


def until(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What the check gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def engine_url(namespace: Namespace, **options: str) -> str:
    """The URL of an engine in the namespace, with the toy image."""
    given = {"kubeconfig": str(namespace.kubeconfig), "namespace": namespace.name, "image": TOY_IMAGE, **options}
    return "kubernetes:?" + "&".join(f"{name}={value}" for name, value in given.items())
