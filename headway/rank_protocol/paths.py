"""The names of files and folders that a worker and its ranks share, or a client and the ranks.

`folder` is the folder of an attempt on its worker, unless a function says otherwise.
"""

from __future__ import annotations

import re
from pathlib import Path

SETUP_RANK = -1
"""The rank number for the output of an attempt's preparation."""
SOURCE_FOLDER = "src"
"""A folder of the working directory. Packages in it can be imported, as after an editable install."""
CALL_SCRIPT = ".headway/call.py"
"""In the working directory: the script that calls a function sent by a client."""
CALL_FILE = ".headway/call.pickle"
"""In the working directory: that function with its arguments."""
RETURN_VALUE_FILE = "return_value.pickle"
"""In the output directory: the return value of such a function, if JSON cannot represent it."""
WEIGHTS_FILE, STATE_DICT_FILE, CARD_FILE = MODEL_FILES = "model.safetensors", "model.pt", "card.json"
"""In the output directory: a model's weights, its weights for torch.load, and its card."""
DATASET_FILE = "dataset.json"
"""In a dataset's folder: its description, beside a file per array."""
_RANK_LOG = re.compile(r"rank-(\d{1,6})\.log")


def array_file(folder: Path, split: str, array: str) -> Path:
    """An array of a dataset, in the dataset's folder `folder`."""
    return folder / f"{split}.{array}.npy"


def log_file(folder: Path, rank: int) -> Path:
    """The output of a rank, or, with SETUP_RANK, of the preparation."""
    return folder / ("setup.log" if rank == SETUP_RANK else f"rank-{rank}.log")


def logged_ranks(folder: Path) -> list[int]:
    """The ranks that have a log in the folder."""
    return sorted(int(found[1]) for path in folder.glob("rank-*.log") if (found := _RANK_LOG.fullmatch(path.name)))


def run_file(folder: Path, rank: int) -> Path:
    """The run records of a rank, a JSON object per line."""
    return folder / f"rank-{rank}.run"


def stacks_file(folder: Path, rank: int) -> Path:
    """The file for a rank's stacks. It exists once the rank can write them."""
    return folder / f"rank-{rank}.stacks"


def error_file(folder: Path, rank: int) -> Path:
    """The file where torch's `@record` writes an exception."""
    return folder / f"rank-{rank}.error.json"


def going_mark(folder: Path) -> Path:
    """A file that exists until Headway asks the ranks to end: deleting a file works even on a full disk."""
    return folder / "going"


def finished_file(folder: Path) -> Path:
    """A file with a byte for each rank of this worker, by local rank: 1 once the rank's work is done."""
    return folder / "finished"


def meeting_mark(folder: Path) -> Path:
    """A file that a rank writes when it has met other ranks."""
    return folder / "met"


def output_folder(folder: Path) -> Path:
    """The folder for files of ranks that the worker stores."""
    return folder / "output"


def checkpoint_files_folder(folder: Path) -> Path:
    """The folder for checkpoint files of programs. Outside Headway, `folder` is the output directory."""
    return folder / "checkpoint-files"


def saved_part(folder: Path, step: int, rank: int) -> Path:
    """The file for a rank's part of a step. Outside Headway, `folder` is the output directory."""
    return saved_parts(folder) / str(step) / f"rank-{rank}"


def saved_parts(folder: Path) -> Path:
    """A folder per step, with the parts of its ranks."""
    return folder / "checkpoints"


def restore_folder(folder: Path) -> Path:
    """The checkpoint that the ranks start from. Outside Headway, `folder` is the folder of the step."""
    return folder / "restore"


def restored_part(folder: Path, rank: int) -> Path:
    """A rank's part, where `folder` is the folder to restore from, or an archive of shards."""
    return folder / f"rank-{rank}"


def shards_folder(folder: Path) -> Path:
    """The sharded models, where `folder` is the folder to restore from, or an archive of shards."""
    return folder / "shards"
