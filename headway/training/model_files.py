"""A model's files: weights as safetensors and as a plain state dict, and a card as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn


def write_model(model: nn.Module, card: dict[str, Any], folder: Path) -> list[Path]:
    """Write `model.safetensors`, `model.pt` and `card.json` into a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights, plain, description = folder / "model.safetensors", folder / "model.pt", folder / "card.json"
    save_file(state, weights, metadata={"format": "pt", "job": str(card["job"])})
    torch.save(state, plain)
    description.write_text(json.dumps(card, indent=2) + "\n")
    return [weights, plain, description]
