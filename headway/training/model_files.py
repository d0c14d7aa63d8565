"""A model's files: weights as safetensors and as a plain state dict, and a card as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from headway.rank_protocol.paths import CARD_FILE, STATE_DICT_FILE, WEIGHTS_FILE
from headway.training.plain_values import encode
from headway.training.saving import unwrap


def write_model(model: nn.Module, card: dict[str, Any], folder: Path) -> None:
    """Write `model.safetensors`, `model.pt` and `card.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = unwrap(model)
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt", "job": str(card["job"])})
    torch.save(state, folder / STATE_DICT_FILE)
    (folder / CARD_FILE).write_text(json.dumps(json.loads(encode(card)), indent=2) + "\n")
