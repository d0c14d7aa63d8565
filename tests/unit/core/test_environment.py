"""Variables of a job, and whether its ranks can start warm."""

from __future__ import annotations

import pytest

from headway.core.cold_start import cold_reason
from headway.core.environment import check_variable, variables_of_parameters
from headway.core.job import JobSpec
from headway.core.spec_limits import check_limits
from headway.errors import InvalidInput


def test_parameters_become_variables() -> None:
    given = {"batch_size": 64, "learning_rate": 0.1, "fast": True, "slow": False, "name": "a b"}
    assert variables_of_parameters(given) == {
        "BATCH_SIZE": "64",
        "LEARNING_RATE": "0.1",
        "FAST": "1",
        "SLOW": "0",
        "NAME": "a b",
    }


@pytest.mark.parametrize("name", ["rank", "Master_Port", "path", "headway_token", "1st", "a-b", ""])
def test_a_parameter_that_would_harm_the_process_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="parameter"):
        variables_of_parameters({name: 1})


def test_a_variable_may_be_anything_but_what_headway_sets() -> None:
    check_variable("LD_PRELOAD", "variable LD_PRELOAD")
    with pytest.raises(ValueError, match="would replace WORLD_SIZE, which Headway sets"):
        check_variable("WORLD_SIZE", "variable WORLD_SIZE")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"script": "a.py"}, None),
        ({"script": "a.py", "variables": {"MY_SETTING": "1"}}, None),
        ({"script": "a.py", "environment": {"python": "/opt/python"}}, None),
        ({"script": "a.py", "variables": {"PYTHONHASHSEED": "0"}}, "the variable PYTHONHASHSEED counts only when"),
        ({"script": "a.py", "variables": {"LD_PRELOAD": "x.so"}}, "the variable LD_PRELOAD counts only when"),
        ({"script": "a.py", "parameters": {"omp_num_threads": 4}}, "the variable OMP_NUM_THREADS counts only when"),
        ({"module": "a", "variables": {"TORCH_LOGS": "dynamo"}}, "the variable TORCH_LOGS counts only when torch and"),
        ({"script": "a.py", "variables": {"TZ": "Asia/Tokyo", "PYTHONPATH": "lib"}}, None),
        ({"command": ("./prepare.sh",)}, "./prepare.sh is a command, not a Python script"),
    ],
)
def test_what_only_works_at_process_start_starts_cold_and_says_why(fields: dict[str, object], reason: str) -> None:
    said = cold_reason(JobSpec(snapshot="0" * 64, **fields))
    assert said is reason is None or (said or "").startswith(reason)


def test_a_trainer_takes_no_variables_of_scripts() -> None:
    with pytest.raises(ValueError, match="outputs belongs to scripts"):
        JobSpec(trainer="cnn", dataset="mnist", outputs=("*.csv",))
    with pytest.raises(InvalidInput, match="TORCH_LOGS counts only when torch and its libraries are imported, and"):
        check_limits(JobSpec(trainer="cnn", dataset="mnist", variables={"TORCH_LOGS": "dynamo"}))
    with pytest.raises(InvalidInput, match="would replace RANK, which Headway sets"):
        check_limits(JobSpec(trainer="cnn", dataset="mnist", variables={"RANK": "1"}))
    with pytest.raises(ValueError, match="environment belongs to scripts"):
        JobSpec(trainer="cnn", dataset="mnist", environment={"python": "/x"})


def test_a_stored_job_with_variables_that_are_refused_now_can_be_read() -> None:
    """Given a job of a trainer that an older server took."""
    stored = {"trainer": "cnn", "dataset": "mnist", "variables": {"OMP_NUM_THREADS": "4"}}
    assert JobSpec.model_validate(stored).env == {"OMP_NUM_THREADS": "4"}
    with pytest.raises(InvalidInput, match="OMP_NUM_THREADS counts only when"):
        check_limits(JobSpec.model_validate(stored))
