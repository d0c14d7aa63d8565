"""Fields of a spec under their earlier names."""

from __future__ import annotations

import pytest

from headway.core.job import JobSpec
from headway.core.rerun import rerun_fields
from headway.core.spec_names import renamed_fields


def test_a_spec_with_earlier_names_is_read() -> None:
    """Given a job as an earlier version stored it, then its fields have the names of now."""
    stored = {"script": "t.py", "source": "", "dataset": None, "data": "digits", "variables": {"A": "1"}}
    spec = JobSpec.model_validate(stored)
    assert (spec.dataset, spec.env) == ("digits", {"A": "1"})
    trainer = JobSpec.model_validate({"trainer": "cnn", "dataset": "mnist", "data": None, "variables": {}})
    assert (trainer.dataset, trainer.env) == ("mnist", {})


def test_a_field_under_both_names_is_refused() -> None:
    with pytest.raises(ValueError, match="data is the earlier name of dataset: give dataset alone"):
        renamed_fields({"data": "digits", "dataset": "mnist"})


def test_a_rerun_changes_fields_under_their_earlier_names() -> None:
    spec = JobSpec(script="t.py", source="", dataset="digits", env={"A": "1", "B": "2"})
    fields = rerun_fields(spec, {"data": "mnist", "variables": {"A": None}})
    assert (fields["dataset"], fields["env"]) == ("mnist", {"B": "2"})
