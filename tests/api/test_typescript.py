"""Clients in TypeScript: the types made of the API's document compile, strictly, with a client that uses them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "tests" / "typescript"


def run(*command: str) -> None:
    environment = {**os.environ, "npm_config_cache": str(CHECKOUT / ".cache" / "npm"), "NO_UPDATE_NOTIFIER": "1"}
    ran = subprocess.run(
        command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=200, check=False
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.timeout(300)
def test_a_client_compiles_against_the_types_of_the_document() -> None:
    if shutil.which("npm") is None:
        assert "CI" not in os.environ, "CI needs Node.js with npm"
        pytest.skip("Node.js with npm is not installed")
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        run("npm", "ci")
    document = CHECKOUT / "docs" / "reference" / "openapi.json"
    run("npx", "openapi-typescript", str(document), "--default-non-nullable=false", "--output", "api.ts")
    run("npx", "tsc", "--project", ".")
