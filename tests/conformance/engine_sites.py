"""Where the engines of the suite start machines: the tests look there, and end machines as others would."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from tests.cluster import Namespace


class Site(ABC):
    """The machines of one engine. They are blocking calls."""

    half: dict[str, Any]
    """Fields of a spec with which two jobs of two seats do not fit at the same time."""

    @abstractmethod
    def starts(self, allocation: str) -> set[str]:
        """The starts of seats that run or are about to."""

    @abstractmethod
    def end(self, start: str) -> None:
        """End the machine of a start at once."""

    @abstractmethod
    def left(self) -> list[str]:
        """Everything that exists of any allocation."""


class Processes(Site):
    """The local engine's."""

    half: dict[str, Any] = {}

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder

    def _found(self) -> dict[tuple[str, str], psutil.Process]:
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error, ValueError):
                line = process.cmdline()
                home = Path(line[line.index("--home") + 1])
                if "--allocation" in line and home.is_relative_to(self._folder):
                    found[home.parent.parent.name, home.name] = process
        return found

    def starts(self, allocation: str) -> set[str]:
        return {start for name, start in self._found() if name == allocation}

    def end(self, start: str) -> None:
        next(process for (_, name), process in self._found().items() if name == start).kill()

    def left(self) -> list[str]:
        return [*map(str, self._found()), *(path.name for path in self._folder.iterdir())]


class Pods(Site):
    """Those of a namespace."""

    half: dict[str, Any] = {"pod": {"resources": {"nvidia.com/gpu": 2}}}

    def __init__(self, url: str, folder: Path) -> None:
        query = parse_qs(urlsplit(url).query)
        self._namespace = Namespace(query["namespace"][0], Path(query["kubeconfig"][0]))

    def starts(self, allocation: str) -> set[str]:
        return {
            pod["metadata"]["uid"]
            for pod in self._namespace.objects("pods")
            if pod["metadata"]["labels"]["headway.io/allocation"] == allocation
            and pod["status"]["phase"] in ("Pending", "Running")
            and "deletionTimestamp" not in pod["metadata"]
        }

    def end(self, start: str) -> None:
        pods = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in self._namespace.objects("pods")}
        self._namespace.kubectl("delete", "pod", pods[start], "--grace-period=1", "--wait=false")

    def left(self) -> list[str]:
        found = self._namespace.objects("pods,jobs,services,secrets")
        return [f"{one['kind']} {one['metadata']['name']}" for one in found]


_SITES: dict[str, type[Site]] = {"local": Processes, "kubernetes": Pods}


def site_of(url: str, folder: Path) -> Site:
    """The machines of an engine with that URL. Its own files are in the folder."""
    scheme = urlsplit(url).scheme
    if scheme not in _SITES:
        pytest.fail(f"{__name__} does not say where the machines of engine {scheme} are. Add it.")
    return _SITES[scheme](url, folder)
