"""When to save: by steps, by seconds, at an epoch's end, and when a rank was asked to end; the same on all ranks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from headway.rank_protocol.save_policy import SavePolicy

_AGREE_SECONDS = 0.25
"""About how often ranks agree at least on whether to save, so that SIGTERM is noticed in time."""
_AGREE_SHARE = 0.05
"""They agree more often, up to every step, as long as it takes no more than this share of the time."""
_MOST_STEPS = 1000


class CheckpointSchedule:
    """Ranks decide together, by a small all-reduce every few steps, whenever a clock or a signal is involved.

    `stop`: a rank was asked to end, so all ranks save and exit after this step.
    """

    def __init__(self, policy: SavePolicy, world_size: int, stop_asked: Callable[[], bool]) -> None:
        self._policy = policy
        self._world_size = world_size
        self._stop_asked = stop_asked
        self._saved_at = self._agreed_at = time.monotonic()
        self._agree_step: int | None = None
        self._agreed_step: int | None = None
        self._last_step = 0
        self._agree_cost_seconds = 0.0
        self.stop = False

    def due(self, step: int, *, epoch_end: bool = False) -> bool:
        """Whether to save after this step. Call it once after each step, on every rank."""
        policy = self._policy
        by_steps = policy.every_steps is not None and step % policy.every_steps == 0
        by_clock = self._agreed(step)
        due = by_steps or (epoch_end and policy.epoch_end) or by_clock or self.stop
        if due:
            self._saved_at = time.monotonic()
        return due

    def _agreed(self, step: int) -> bool:
        limit_seconds = self._policy.every_seconds
        overdue = limit_seconds is not None and time.monotonic() - self._saved_at >= limit_seconds
        if self._world_size == 1:
            self.stop = self._stop_asked()
            return overdue
        if not _joined():
            self.stop = self._stop_asked()  # each rank alone, since they cannot communicate
            return False
        restarted, self._last_step = step <= self._last_step, step  # step numbers may restart with each epoch
        if self._agree_step is not None and step < self._agree_step and not restarted:
            return False
        wait_steps = 1 if self._agreed_step is None or restarted else self._wait_steps(step - self._agreed_step)
        start = time.monotonic()
        stop, due, fewest = _greatest(int(self._stop_asked()), int(overdue), -wait_steps)
        self._agreed_at = time.monotonic()
        self._agree_cost_seconds = self._agreed_at - start
        self._agreed_step, self._agree_step = step, step - fewest
        self.stop = bool(stop)
        return bool(due)

    def _wait_steps(self, steps: int) -> int:
        """After how many steps to agree again, from the time of the last `steps` and the time that agreeing took
        before.

        All ranks use the smallest number. The rank that came last did not wait for others, so it knows the real cost.
        """
        step_seconds = max((time.monotonic() - self._agreed_at) / steps, 1e-6)
        wait_seconds = min(_AGREE_SECONDS, self._agree_cost_seconds / _AGREE_SHARE)
        return min(_MOST_STEPS, max(1, round(wait_seconds / step_seconds)))


def _joined() -> bool:
    """Whether the ranks can communicate already."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _greatest(*values: int) -> tuple[int, ...]:
    """For each number, the largest of all ranks."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    together = torch.tensor(values, dtype=torch.int64, device=device)
    dist.all_reduce(together, dist.ReduceOp.MAX)
    return tuple(int(value) for value in together.tolist())
