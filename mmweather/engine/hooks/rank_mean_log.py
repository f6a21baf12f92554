"""Losses in the log are those of the whole batch."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook

from ...registry import HOOKS


@HOOKS.register_module()
class RankMeanLogHook(Hook):
    """Replaces the values that a training step returns by their mean over the processes.

    MMEngine logs what process 0 computed, on its share of the batch.  With this hook the log, the progress bar and the
    message hub show the mean, which is what one process with the whole batch shows (for losses that are means over the
    batch).  Gradients are not touched.  All processes must return the same names; with one process nothing is done.
    """

    priority = 'HIGHEST'  # before RuntimeInfoHook, which files the values

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Average the scalars of ``outputs``, in place."""
        if get_world_size() == 1 or not isinstance(outputs, dict):
            return
        tensors = {name: value for name, value in outputs.items() if isinstance(value, torch.Tensor)}
        names = sorted(name for name, value in tensors.items() if value.numel() == 1)
        if not names:
            return
        values = torch.stack([tensors[name].detach().float().reshape(()) for name in names])
        all_reduce(values, 'mean')
        outputs.update(zip(names, values.unbind(), strict=True))
