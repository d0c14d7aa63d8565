"""A Hugging Face Trainer script on synthetic tokens. The callback is its only line of Headway code.

headway run examples/frameworks/transformers_tokens.py --world-size 2
"""

from __future__ import annotations

import os

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from headway.integrations.transformers import HeadwayCallback


class Tokens(Dataset[dict[str, torch.Tensor]]):
    """Sentences of random tokens. The label says whether the first token is in the upper half of the vocabulary."""

    def __len__(self) -> int:
        return 256

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = torch.randint(0, 100, (16,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": tokens, "labels": (tokens[0] >= 50).long()}


def main() -> None:
    """Train a small BERT from scratch."""
    config = BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_labels=2
    )
    arguments = TrainingArguments(
        output_dir=os.environ.get("HEADWAY_OUTPUT_DIRECTORY", "outputs"),
        use_cpu=True,
        max_steps=10,
        per_device_train_batch_size=8,
        logging_steps=2,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=arguments,
        train_dataset=Tokens(),
        callbacks=[HeadwayCallback()],
    )
    trainer.train()
    print("trained with", arguments.world_size, "ranks")


if __name__ == "__main__":
    main()
