"""The folder of one attempt on this worker, and its clean-up once its ranks have ended."""

from __future__ import annotations

import logging
from pathlib import Path

from headway.core.facts import Released
from headway.core.protocol import AssignmentKey, Timeouts
from headway.folders import remove
from headway.rank_protocol.paths import logged_ranks
from headway.worker.counters import WorkerCounters
from headway.worker.rank_files import RankFiles
from headway.worker.spool import SpooledStream, stream_folder

_log = logging.getLogger(__name__)


def attempt_folder(home: Path, key: AssignmentKey) -> Path:
    """The folder with the files of an attempt's ranks."""
    return home / "attempts" / f"{key.job}.{key.attempt}.{key.worker}"


def remove_attempt(home: Path, key: AssignmentKey) -> None:
    """Delete the files and reports of an attempt that the server no longer needs."""
    remove(attempt_folder(home, key))
    remove(stream_folder(home, key))


def finish_stream(home: Path, stream: SpooledStream, counters: WorkerCounters) -> None:
    """Close a stream whose ranks have ended, by a last report with the unread rest of their files."""
    if stream.ended:
        return
    folder = attempt_folder(home, stream.key)
    files = RankFiles(folder, logged_ranks(folder), maximum_log_bytes=Timeouts().maximum_log_bytes)
    more = True
    try:
        while more:
            harvest = files.harvest(stream.offsets, final=True)
            more = harvest.more
            facts = (*harvest.facts, *(() if more else (Released(),)))
            series = list(harvest.series.values())
            report = stream.write(facts, harvest.lines, series, harvest.offsets, last=not more)
            stream.add(report)
            counters.stripped_reports += report.stripped
            counters.add_dropped(harvest)
    except OSError:
        raise
    except Exception:  # the worker has to start, whatever is in the files
        _log.exception("The files of attempt %d of job %s cannot be read.", stream.key.attempt, stream.key.job)
        stream.add(stream.write((Released(),), [], [], stream.offsets, last=True))
