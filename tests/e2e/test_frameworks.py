"""Scripts of every framework, unmodified."""

from __future__ import annotations

from typing import Any

import pytest

from headway.client import Client
from tests.e2e.own_work import EXAMPLES, series, texts
from tests.fleet import ended


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize(
    ("script", "spec", "words", "metric"),
    [
        ("ddp.py", {"arguments": ["--steps", "20"]}, "step 20 loss", None),
        ("frameworks/pytorch_digits.py", {"data": "digits"}, "test accuracy 0.9", "train/loss"),
        ("frameworks/lightning_line.py", {"arguments": ["--devices", "{}"]}, "trained", "train/loss"),
        ("frameworks/transformers_tokens.py", {}, "trained with {} ranks", "loss"),
        ("frameworks/sklearn_digits.py", {"data": "digits", "metrics": {"acc": r"accuracy (\S+)"}}, "acc", "acc"),
        ("frameworks/tensorboard_loss.py", {}, "written", "loss/train"),
    ],
)
def test_scripts_of_every_framework_run_unmodified(
    client: Client, world_size: int, script: str, spec: dict[str, Any], words: str, metric: str | None
) -> None:
    spec = {**spec, "arguments": [argument.format(world_size) for argument in spec.get("arguments", ())]}
    workdir = (EXAMPLES / script).parent
    job = ended(client.run_script(EXAMPLES / script, workdir=workdir, world_size=world_size, **spec))
    assert job.status == "succeeded", (job.data["sentence"], texts(job)[-20:])
    assert any(words.format(world_size) in text for text in texts(job))
    assert metric is None or metric in series(job)
