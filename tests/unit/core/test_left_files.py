"""What users are told about files in working directories."""

from __future__ import annotations

import pytest

from headway.core import transitions
from headway.core.facts import FilesLeft, Released, WorkingDirectoryReady
from headway.core.job import Job
from headway.core.left_files import FileList, file_list
from headway.core.placement import Share
from tests.unit.core.jobs import NOW, ended_rank, finish, placed, queued, report, running

MODEL, NOTES = ("model.pt", 3_200_000_000), ("notes.txt", 12)


def left(changed: FileList, unstored: FileList | None = None, outputs: FileList | None = None) -> FilesLeft:
    return FilesLeft(
        folder="/home/jobs/j-1",
        changed=changed,
        unstored=unstored or FileList(),
        outputs=outputs or FileList(),
        kept_seconds=86_400,
    )


def again(job: Job, worker: int) -> Job:
    """The job's next attempt, on one worker."""
    return transitions.place(job, [Share(f"w{worker}", f"worker{worker}", 0, 2)], NOW)


def failed(fact: FilesLeft) -> Job:
    job = report(running(), "w0", ended_rank(signal="SIGKILL"), ended_rank(rank=0, signal="SIGTERM", stopped=True))
    return report(job, "w0", fact, Released(), last=True)


def test_sizes_and_names_of_many_files_are_short() -> None:
    assert file_list([NOTES, MODEL]).shown == "model.pt (3.2 GB) and notes.txt (12 B)"
    many = file_list((f"file-{number}", number) for number in range(1000))
    assert many.shown.endswith("file-996 (996 B), file-995 (995 B) and 995 more")
    assert len(file_list([("x" * 5000, 1)]).shown) < 300


def test_files_that_are_not_kept_are_named_at_the_jobs_end() -> None:
    """Given files that were not stored, then the end names them, where they are, and how to keep them."""
    job = report(running(), "w0", left(file_list([MODEL, NOTES]), file_list([MODEL])))
    job = report(finish(job), "w0", Released(), last=True)
    assert job.warnings == (
        "1 file of the working directory on worker worker0 was not kept: model.pt (3.2 GB). To keep such a file, "
        "give `--output 'model.pt'` or write it to HEADWAY_OUTPUT_DIRECTORY. Worker worker0 keeps the "
        "working directory in /home/jobs/j-1/work until 24 h after the job's end, or until the space is needed.",
    )
    assert [event.type for event in job.events][-2:] == ["job.warned", "job.succeeded"]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("run[1].pt", "'run[[]1].pt'"), ("it's.pt", """'it'"'"'s.pt'"""), ("r%E9s.csv", "'r*s.csv'")],
)
def test_the_pattern_that_is_offered_matches_the_file(name: str, pattern: str) -> None:
    job = report(running(), "w0", left(file_list([(name, 1)]), file_list([(name, 1)])))
    job = report(finish(job), "w0", Released(), last=True)
    assert f"give `--output {pattern}` or" in job.warnings[0]


def test_there_is_no_notice_when_everything_is_stored() -> None:
    job = report(running(), "w0", left(file_list([MODEL])))
    assert report(finish(job), "w0", Released(), last=True).warnings == ()


def test_a_next_attempt_elsewhere_says_what_it_does_not_find() -> None:
    job = again(failed(left(file_list([NOTES]))), worker=1)
    job = report(job, "w1", WorkingDirectoryReady(fresh=True))
    assert job.warnings == (
        "Attempt 2 starts on worker worker1 without the files that attempt 1 left in its working directory on worker "
        "worker0: notes.txt (12 B). Write files that the next attempt needs to HEADWAY_CHECKPOINT_DIRECTORY.",
    )


def test_a_next_attempt_on_the_same_worker_finds_them() -> None:
    job = again(failed(left(file_list([NOTES]))), worker=0)
    job = report(job, "w0", WorkingDirectoryReady(fresh=False, changed_count=1))
    assert job.warnings == ()
    assert (job.events[-1].type, job.events[-1].data["files"]) == ("working_directory.kept", 1)


def test_a_directory_that_was_removed_meanwhile_is_missed() -> None:
    job = again(failed(left(file_list([NOTES]))), worker=0)
    job = report(job, "w0", WorkingDirectoryReady(fresh=True))
    assert "without the files that attempt 1 left in its working directory on worker worker0" in job.warnings[0]


def test_files_on_a_lost_worker_are_reported_as_unknown() -> None:
    lost = transitions.lose_worker(running(), "w0", NOW)
    job = report(again(lost, worker=1), "w1", WorkingDirectoryReady(fresh=True))
    assert "may have written to its working directory on worker worker0, which was lost" in job.warnings[0]
    back = report(again(lost, worker=0), "w0", WorkingDirectoryReady(fresh=False))
    assert back.warnings == ()


def test_a_first_attempt_misses_nothing() -> None:
    assert report(placed(queued()), "w0", WorkingDirectoryReady(fresh=True)).warnings == ()


def test_outputs_without_time_to_be_stored_are_named() -> None:
    job = report(running(), "w0", left(FileList(), outputs=file_list([NOTES])))
    assert job.warnings == (
        "Attempt 1 was ended without time to store its files in HEADWAY_OUTPUT_DIRECTORY: notes.txt (12 B). They "
        "stay on worker worker0 in /home/jobs/j-1/output-1 until 24 h after the job's end, or until the space is "
        "needed.",
    )
