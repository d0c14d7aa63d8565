"""A model is saved without torch's wrappers, and with all of its own parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from headway.training.model_files import write_model
from headway.training.saving import plain, unwrap


class Wrapping(nn.Module):
    """A user's model with a part that has the name of a wrapper's attribute."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, nn.Linear(2, 2))
        self.head = nn.Linear(2, 1)


@pytest.mark.parametrize("name", ["module", "_orig_mod"])
def test_a_models_part_with_the_name_of_a_wrapper_is_saved(tmp_path: Path, name: str) -> None:
    model = Wrapping(name)
    write_model(model, {"job": "j"}, tmp_path)
    whole = {f"{name}.weight", f"{name}.bias", "head.weight", "head.bias"}
    assert torch.load(tmp_path / "model.pt").keys() == whole
    assert plain({"model": model})["model"].keys() == whole


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, torch.compile, lambda model: torch.compile(nn.DataParallel(model)),
     lambda model: nn.DataParallel(torch.compile(model))],
)  # fmt: skip
def test_torchs_wrappers_are_not_saved(tmp_path: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = Wrapping("module")
    assert unwrap(wrap(model)) is model
    write_model(wrap(model), {"job": "j"}, tmp_path)
    assert torch.load(tmp_path / "model.pt").keys() == model.state_dict().keys()
