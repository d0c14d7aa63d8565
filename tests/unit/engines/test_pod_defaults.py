"""What administrators give all pods, and what they let jobs give."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.core.pod import Pod
from headway.engines.kubernetes.pod_defaults import check_free, read_defaults, with_defaults
from headway.engines.kubernetes.settings import read_settings
from headway.errors import InvalidInput, SettingInvalid

DEFAULTS = """
memory: 4Gi
priority_class: batch
node_selector: {pool: gpu, zone: a}
tolerations: [{key: gpu}]
volumes: [{path: /data, claim: datasets, read_only: true}]
"""


def defaults(folder: Path, text: str = DEFAULTS) -> Pod:
    path = folder / "pod.yaml"
    path.write_text(text)
    return read_defaults(path)


def test_own_values_win_and_names_and_lists_are_added(tmp_path: Path) -> None:
    asked = {"memory": "8Gi", "node_selector": {"zone": "b"}, "tolerations": [{"key": "gpu"}, {"key": "spot"}]}
    pod = with_defaults(Pod.model_validate(asked), defaults(tmp_path))
    assert (pod.memory, pod.priority_class) == ("8Gi", "batch")
    assert pod.node_selector == {"pool": "gpu", "zone": "b"}
    assert [one.key for one in pod.tolerations] == ["gpu", "spot"]
    assert [one.path for one in pod.volumes] == ["/data"]
    assert with_defaults(Pod(), Pod()) == Pod()


def test_what_does_not_fit_the_defaults_is_named(tmp_path: Path) -> None:
    asked = Pod.model_validate({"volumes": [{"path": "/data", "size": "1Gi"}]})
    with pytest.raises(InvalidInput, match=r"what this server gives all pods: .*two have the path /data"):
        with_defaults(asked, defaults(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("memory: 4Gi\ncommand: [sh]", "command: there is no such field"),  # nothing can break the worker
        ("volumes: [{path: /run/headway}]", "in /run, which the pod itself needs"),
        ("[1]", "give names with values"),
        ("{", "cannot be read"),
    ],
)
def test_wrong_defaults_are_refused_at_the_start_with_their_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingInvalid) as error:
        defaults(tmp_path, text)
    assert words in str(error.value)
    assert str(tmp_path / "pod.yaml") in str(error.value)


def test_a_fixed_field_is_for_administrators_only() -> None:
    fixed = read_settings("kubernetes:?fixed=image,service_account").fixed
    check_free(Pod(memory="1Gi"), fixed)
    with pytest.raises(InvalidInput, match=r"pod\.service_account: the administrators"):
        check_free(Pod(service_account="admin"), fixed)
    with pytest.raises(SettingInvalid, match=r"fixed.*'imag' is no field of pod"):
        read_settings("kubernetes:?fixed=imag")
