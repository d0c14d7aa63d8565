"""The page in a real browser, with a real server, workers and jobs."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.browser.test_source import install, npm
from tests.fleet import Fleet, wait_until


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """Given a server with two workers, then `ui/tests/browser` passes. It kills a worker, then the server."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or shutil.which("npm") is None:
        assert "CI" not in os.environ, "CI needs Chromium, and Node.js with npm"
        pytest.skip("Chromium, or Node.js with npm, is not installed")
    install()
    with Fleet(tmp_path) as fleet:
        fleet.start_server()
        for name in ("one", "two"):
            fleet.start_worker(name, slots=2)
        fleet.wait_for_workers(2)
        variables = {
            "CHROMIUM": browser,
            "HEADWAY_SERVER_URL": fleet.url,
            "HEADWAY_TOKEN": (fleet.home / "user.token").read_text().strip(),
            "SERVER_PID": str(fleet.processes["server"].pid),
            "WORKERS": json.dumps({name: fleet.processes[name].pid for name in ("one", "two")}),
        }
        with ThreadPoolExecutor(1) as pool:
            tests = pool.submit(partial(npm, "run", "test:browser", **variables))
            server = fleet.processes["server"]
            wait_until(lambda: tests.done() or server.poll() is not None, "the test that kills the server")
            if not tests.done():
                fleet.start_server()
            tests.result()
