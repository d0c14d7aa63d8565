"""Calls a function that a client serialised. It is user code, so only ranks load it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cloudpickle

from headway.rank_protocol.paths import CALL_FILE, RETURN_VALUE_FILE
from headway.training.run import run


def call(script: str) -> None:
    """Call the function stored beside the script. Its return value on rank 0 becomes the job's result."""
    sys.path.insert(0, "")  # modules of the working directory
    function, arguments, keywords = cloudpickle.loads(Path(script).with_name(Path(CALL_FILE).name).read_bytes())
    value = function(*arguments, **keywords)
    if run().rank == 0:
        _keep(value)


def _keep(value: Any) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        folder = run().output_directory
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RETURN_VALUE_FILE).write_bytes(cloudpickle.dumps(value))
        run().finish(artifact=RETURN_VALUE_FILE)
    else:
        run().finish(value=value)
