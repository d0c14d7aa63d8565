"""Every field of records, views and settings has a docstring."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from headway.core.attempt import Assignment, Attempt
from headway.core.checkpoint import Checkpoint
from headway.core.failure import Failure
from headway.core.job import Job
from headway.server.api.field_words import field_words
from headway.server.api.job_views import AttemptView, CheckpointView, JobView
from headway.server.app import describe_api
from headway.settings import Settings, WorkerSettings


@pytest.mark.parametrize(
    "model",
    [
        Job, Attempt, Assignment, Checkpoint, Failure, JobView, AttemptView, CheckpointView, Settings, WorkerSettings,
    ],
)  # fmt: skip
def test_every_field_says_what_it_means(model: type[BaseModel]) -> None:
    assert model.model_fields.keys() - field_words(model).keys() == set()


def test_the_api_document_has_the_docstrings_of_fields() -> None:
    schemas = describe_api()["components"]["schemas"]
    properties = schemas["JobView"]["properties"]
    assert properties["resumes_from"]["description"].startswith("The step where its next attempt would continue")
    assert properties["created_at"]["description"] == "When it was submitted. Seconds since the epoch.", (
        "the docstring of the stored job"
    )
    assert schemas["JobSpec"]["properties"]["trainer"]["description"].startswith("A built-in trainer"), (
        "its own docstring"
    )
    assert all("description" in one for one in schemas["Attempt"]["properties"].values())
