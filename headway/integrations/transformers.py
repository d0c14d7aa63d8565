"""A Hugging Face callback: `Trainer(callbacks=[HeadwayCallback()])`. It needs `transformers`."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import headway


class HeadwayCallback(TrainerCallback):
    """Records what the Trainer logs as metrics of the job, and how many steps there are. Rank 0 records."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell those who follow how long the way is."""
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
        """Record the numbers among what is logged."""
        if state.is_world_process_zero and logs:
            numbers = {name: value for name, value in logs.items() if isinstance(value, int | float)}
            headway.run().log(state.global_step, **numbers)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The stage that ends training."""
        if state.is_world_process_zero:
            headway.run().reached("trained")
