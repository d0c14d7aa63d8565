"""Environment variables that a rank gets from its worker, beside those that torchrun sets."""

from __future__ import annotations

SERVER_URL = "HEADWAY_SERVER_URL"
JOB_ID = "HEADWAY_JOB_ID"
ATTEMPT = "HEADWAY_ATTEMPT"
PARAMETERS = "HEADWAY_PARAMETERS"
"""The job's parameters as a JSON object."""
RUN_FILE = "HEADWAY_RUN_FILE"
"""Where its run records; its folder is that of the attempt. Outside Headway there is none."""
OUTPUT_DIRECTORY = "HEADWAY_OUTPUT_DIRECTORY"
CHECKPOINT_DIRECTORY = "HEADWAY_CHECKPOINT_DIRECTORY"
CHECKPOINTS = "HEADWAY_CHECKPOINTS"
"""When to save: a SavePolicy as JSON."""
DATA_DIRECTORY = "HEADWAY_DATA_DIRECTORY"
"""Only of jobs with a dataset."""
RANK_PROTOCOL = "HEADWAY_RANK_PROTOCOL"
"""The version of the rank protocol that the worker speaks."""
WORKER_VERSION = "HEADWAY_WORKER_VERSION"
"""The version of the worker's Headway."""
RANK_PID = "HEADWAY_RANK_PID"
"""Only of a command that a user runs beside a rank."""
ALL = frozenset(
    {
        SERVER_URL,
        JOB_ID,
        ATTEMPT,
        PARAMETERS,
        RUN_FILE,
        OUTPUT_DIRECTORY,
        CHECKPOINT_DIRECTORY,
        CHECKPOINTS,
        DATA_DIRECTORY,
        RANK_PROTOCOL,
        WORKER_VERSION,
        RANK_PID,
    }
)
