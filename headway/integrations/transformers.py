"""A Hugging Face callback: `Trainer(callbacks=[HeadwayCallback()])`. It needs `transformers`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import headway
from headway.training.plain_values import real_number


class HeadwayCallback(TrainerCallback):
    """Rank 0 records the Trainer's logs as metrics of the job, and the number of steps."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the total number of steps."""
        if state.is_world_process_zero:
            headway.run().reached("data_ready", total_steps=state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the logged numbers."""
        if state.is_world_process_zero and logs:
            numbers: dict[str, float] = {}
            for name, value in logs.items():
                with suppress(TypeError):
                    numbers[name] = real_number(value, name)
            headway.run().log(state.global_step, **numbers)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record that training has ended."""
        if state.is_world_process_zero:
            headway.run().reached("trained")
