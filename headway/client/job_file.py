"""Job files: a job's spec in YAML or JSON, with its working directory as a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headway.core.json_value import check_json, shown
from headway.errors import InvalidInput, NotFound

WORKDIR = "workdir"


def read_job_file(path: Path) -> tuple[dict[str, Any], Path | None]:
    """The spec, and the folder to pack: `workdir`, by default the folder of the file; None for a trainer.

    Raises NotFound, InvalidInput with the place of the error in the file.
    """
    content = _parse(path)
    if not isinstance(content, dict):
        raise InvalidInput(f"Job file {path} must have fields such as `script: train.py`. `headway init` writes one.")
    check_json(content, f"Job file {path}: ")
    workdir = content.pop(WORKDIR, None)
    if not isinstance(workdir, str | None):
        raise InvalidInput(f"Job file {path}: workdir is {shown(workdir)}; it must be a path as text.")
    if content.get("trainer") is not None:
        return content, None
    if isinstance(content.get("command"), str):
        raise InvalidInput(f"Job file {path}: command must be a list, such as [./prepare.sh, --fast].")
    return content, (path.parent / (workdir or ".")).absolute()


def _parse(path: Path) -> Any:
    """The parsed content of the file."""
    import yaml

    from headway.client.yaml_loader import JobFileLoader

    try:
        return yaml.load(path.read_text(encoding="utf-8"), JobFileLoader)  # noqa: S506 - it is a safe loader
    except FileNotFoundError as error:
        raise NotFound(f"Job file {path} does not exist. `headway init` writes one.") from error
    except RecursionError as error:
        raise InvalidInput(f"Job file {path} cannot be read: it is nested too deeply.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"Job file {path} cannot be read: {error}") from error


def job_file_schema() -> dict[str, Any]:
    """The JSON schema of job files, for editors."""
    from headway.core.job import JobSpec

    schema = JobSpec.model_json_schema()
    schema["title"] = "Headway job"
    del schema["properties"]["snapshot"]
    schema["properties"] = {
        **schema["properties"],
        WORKDIR: {
            "type": "string",
            "default": ".",
            "description": "Folder that is sent, relative to this file, without files that .gitignore and "
            ".headwayignore name.",
        },
    }
    return schema


TEMPLATE = """\
# yaml-language-server: $schema={schema_url}
# A Headway job. Check it with `headway submit {filename} --dry-run`, start it with `headway submit {filename}`.

# name: my-job              # unique; generated if left out
script: train.py            # or: module: package.train, or: command: [./prepare.sh, --fast]
# arguments: [--epochs, "3"]
workdir: .                  # sent, without files that .gitignore and .headwayignore name

world_size: 1               # ranks; each takes a slot
# engine: fleet             # or another engine of the server, which makes workers for this job
# parameters:               # ranks get them as variables: BATCH_SIZE=64
#   batch_size: 64
# env:                      # variables of the ranks
#   MY_SETTING: "on"
# dataset: mnist            # a dataset, as a folder: HEADWAY_DATA_DIRECTORY

# environment:              # default: that of the workers, which starts warm
#   lock: requirements.txt  # or pylock.toml, uv.lock; built once, then cached
#   python: /opt/venv/bin/python

# outputs: ["results/*.csv"]  # kept, as are all files in HEADWAY_OUTPUT_DIRECTORY
# metrics:                    # from lines of the log; TensorBoard's files are always read
#   loss: 'step (?P<step>\\d+) loss (?P<value>\\S+)'

# checkpoints:                # when to save (scripts ask run.should_save), and what to keep
#   every_steps: 500
#   keep_newest: 3
#   keep_best: 1
#   metric: validation/loss
# from_checkpoint: other-job@500

# timeout_seconds: 3600
# memory_bytes: 4000000000  # per rank
# retries: 3                # after failures of infrastructure
# priority: 0
# labels: {{team: vision}}
# notes: The purpose of this job.
"""
"""The job file that `headway init` writes."""
