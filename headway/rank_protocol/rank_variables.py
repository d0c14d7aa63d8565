"""Environment variables that a rank gets from its worker, in addition to those that torchrun sets."""

from __future__ import annotations

SERVER_URL = "HEADWAY_SERVER_URL"
JOB_ID = "HEADWAY_JOB_ID"
ATTEMPT = "HEADWAY_ATTEMPT"
PARAMETERS = "HEADWAY_PARAMETERS"
"""The job's parameters as a JSON object."""
RUN_FILE = "HEADWAY_RUN_FILE"
"""The path of the run file, in the folder of the attempt. Not set outside Headway."""
OUTPUT_DIRECTORY = "HEADWAY_OUTPUT_DIRECTORY"
CHECKPOINT_DIRECTORY = "HEADWAY_CHECKPOINT_DIRECTORY"
CHECKPOINTS = "HEADWAY_CHECKPOINTS"
"""When to save: a SavePolicy as JSON."""
DATA_DIRECTORY = "HEADWAY_DATA_DIRECTORY"
"""Only for jobs with a dataset."""
RANK_PROTOCOL = "HEADWAY_RANK_PROTOCOL"
"""The worker's version of the rank protocol."""
WORKER_VERSION = "HEADWAY_WORKER_VERSION"
"""The version of the worker's Headway."""
RANK_PID = "HEADWAY_RANK_PID"
"""Only for a command that a user runs beside a rank."""
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
