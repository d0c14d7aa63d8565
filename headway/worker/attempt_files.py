"""The folder of one attempt on this worker, and what is done with it once its ranks are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from headway.core.facts import Released
from headway.core.protocol import StreamKey, Timeouts
from headway.worker.rank_files import RankFiles
from headway.worker.spool import SpooledStream


def attempt_folder(home: Path, key: StreamKey) -> Path:
    """Where the files of an attempt's ranks lie."""
    return home / "attempts" / f"{key.job}.{key.attempt}.{key.worker}"


def remove_attempt(home: Path, key: StreamKey) -> None:
    """Delete the files of an attempt whose last report is committed."""
    shutil.rmtree(attempt_folder(home, key), ignore_errors=True)


def finish_stream(home: Path, stream: SpooledStream) -> None:
    """Close a stream whose ranks are gone: a last report with what their files still have."""
    if stream.ended:
        return
    folder = attempt_folder(home, stream.key)
    ranks = sorted(int(path.stem.removeprefix("rank-")) for path in folder.glob("rank-*.log"))
    files = RankFiles(folder, ranks, maximum_log_bytes=Timeouts().maximum_log_bytes)
    more = True
    while more:
        harvest = files.harvest(stream.offsets, final=True)
        more = harvest.more
        facts = (*harvest.facts, *(() if more else (Released(),)))
        stream.append(facts, harvest.lines, list(harvest.series.values()), harvest.offsets, last=not more)
