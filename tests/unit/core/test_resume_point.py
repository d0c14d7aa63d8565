"""The sentences about where a stopped job continues, before and after."""

from __future__ import annotations

import pytest

from headway.core import transitions
from headway.core.checkpoint import PartKind
from headway.core.facts import AsksToSave, CheckpointPartStored, CheckpointRestored, FilesLeft, RankEnded, Released
from headway.core.job import Job
from headway.core.left_files import file_list
from headway.core.resume_point import resume_sentence, resumes_from, stop_sentence
from tests.unit.core.jobs import NOW, placed, queued, report, running


def saved(job: Job, step: int = 40) -> Job:
    return report(job, "w0", *(CheckpointPartStored(step=step, rank=rank) for rank in (0, 1)))


def stopped(job: Job, *facts: object) -> Job:
    ends = [RankEnded(rank=rank, at=NOW, signal="SIGTERM", stopped=True) for rank in (0, 1)]
    return report(job, "w0", *ends, *facts, Released(), last=True)


def test_a_checkpoint_without_a_known_step_is_named_by_its_count() -> None:
    """Given files whose step is not known, then no sentence names a step."""
    fact = CheckpointPartStored(step=2, rank=0, kind=PartKind.FILES, counted=True)
    job = report(running(), "w0", fact)
    assert resume_sentence(job) == "It will continue from save 2."
    assert stop_sentence(job) == "Job s ends its ranks. If they save nothing now, it will continue from save 2."
    job = report(job, "w0", CheckpointRestored(step=2))
    assert job.attempt.restored_counted
    assert job.events[-1].data["counted"]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            running(),
            "Job s has saved no checkpoint. If it saves none now, it will start from the beginning.",
        ),
        (saved(running()), "Job s ends its ranks. If they save nothing now, it will continue from step 40."),
        (report(running(), "w0", AsksToSave()), "Job s saves and ends its ranks."),
        (placed(), "Job s is paused. It will start from the beginning."),
        (queued(), "Job s is paused. It will start from the beginning."),
    ],
)
def test_pausing_says_what_will_happen(job: Job, words: str) -> None:
    assert stop_sentence(transitions.pause(job, NOW)) == words


def test_the_sentence_after_a_pause_says_where_the_job_continues() -> None:
    """Given a script that saved nothing, when its ranks are gone, then it starts from the beginning."""
    job = stopped(transitions.pause(running(), NOW))
    assert (resumes_from(job), resume_sentence(job)) == (
        None,
        "It saved no checkpoint, so it will start from the beginning.",
    )
    assert job.events[-2].data["sentence"] == f"Paused on request. {resume_sentence(job)}"
    late = stopped(saved(transitions.pause(running(), NOW), step=1_200))
    assert (resumes_from(late), resume_sentence(late)) == (1_200, "It will continue from step 1,200.")


def test_files_beside_the_script_are_mentioned() -> None:
    left = FilesLeft(folder="/f", changed=file_list([("a", 1)]), unstored=file_list([]), kept_seconds=1)
    job = stopped(transitions.pause(running(), NOW), left)
    assert resume_sentence(job).endswith(
        " On worker worker0 it will find the files that it left in its working directory."
    )


def test_a_drained_job_says_whether_it_lost_its_work() -> None:
    job = stopped(transitions.drain_worker(running(), "w0", NOW))
    assert job.sentence == (
        "Worker worker0 is being drained, so the job continues elsewhere. It saved no checkpoint, so it will start "
        "from the beginning."
    )


@pytest.mark.parametrize(
    ("job", "words"),
    [(running(), "The job saved no checkpoint."), (saved(running()), "`--from-checkpoint s` continues from step 40.")],
)
def test_a_time_limit_says_whether_a_checkpoint_is_left(job: Job, words: str) -> None:
    ended = stopped(transitions.time_out(job, NOW))
    assert ended.sentence == f"The job's time limit passed. Submit it again with a larger --timeout. {words}"
