"""What the built-in trainers save in a checkpoint, and how they continue from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from headway.training.run import Run


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes from step to step. `totals`: this rank's part of the sums since the last logged step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    totals: torch.Tensor
    seed: int

    def save(self, run: Run, step: int) -> None:
        """Save on all ranks. Models and optimizers are the same on all ranks, so only rank 0's are saved."""
        if run.world_size > 1:
            dist.reduce(self.totals, 0)
            if run.rank > 0:
                self.totals.zero_()
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "totals": self.totals,
            "step": step,
            "world_size": run.world_size,
        }
        run.save(state if run.rank == 0 else None, step)

    def restore(self, run: Run, total_steps: int) -> int:
        """Continue from the checkpoint. Returns the steps before it, 0 if there is none.

        The learning rate is computed from the step and the job's own parameters, so that a fork may change them. Raises
        ValueError when the parameters end training before that step.
        """
        saved = run.restore()
        if saved is None:
            return 0
        step: int = saved["step"]
        if step > total_steps:
            raise ValueError(
                f"The checkpoint is of step {step}, but with these parameters training ends after {total_steps}. "
                "Set more epochs or max_steps, or use an earlier checkpoint."
            )
        self.model.load_state_dict(saved["model"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": saved["optimizer"], "param_groups": groups})
        self.schedule.load_state_dict({**self.schedule.state_dict(), "last_epoch": step - 1, "_step_count": step})
        self.schedule.step()
        if run.rank == 0:
            self.totals.copy_(saved["totals"])
        if (
            saved["world_size"] != run.world_size
        ):  # the saved random states do not fit: seed again, but differently from the start
            seed_dropout(self.seed + step, run.rank)
        return step


def seed_dropout(seed: int, rank: int) -> None:
    """Give each rank its own dropout."""
    torch.manual_seed(((seed + 1) * 1_000_003 + rank) % 2**63)
