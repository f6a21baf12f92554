"""One set of batch-norm statistics for all processes, where it is measured or saved."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_reduce_params, get_world_size
from mmengine.hooks import CheckpointHook, Hook

from ...registry import HOOKS


@HOOKS.register_module()
class SyncBuffersHook(Hook):
    """Averages the buffers of a model, such as running means and variances, over the processes.

    In training each process normalises over its own batch and keeps its own running statistics.  This hook makes them
    equal before each validation and, unlike MMEngine's hook of this name, before each checkpoint: all processes
    validate the model that the checkpoint holds, and a resumed run starts from it.  Averaged models (EMAHook) are
    treated in the same way.  One process: nothing happens.
    """

    # After EMAHook has moved and before CheckpointHook saves.
    priority = 'BELOW_NORMAL'

    def before_val_epoch(self, runner: Any) -> None:
        """Average before a validation."""
        self._average(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """Average before the checkpoint of an epoch."""
        self._average(runner)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Average before the checkpoint of an iteration."""
        if any(self._saves(runner, hook) for hook in runner.hooks if isinstance(hook, CheckpointHook)):
            self._average(runner)

    def _saves(self, runner: Any, hook: CheckpointHook) -> bool:
        return not hook.by_epoch and (self.every_n_train_iters(runner, hook.interval, hook.save_begin)
                                      or (hook.save_last and self.is_last_train_iter(runner)))

    @staticmethod
    def _average(runner: Any) -> None:
        if get_world_size() == 1:
            return
        averaged = [hook.ema_model for hook in runner.hooks if hasattr(hook, 'ema_model')]
        buffers = [buffer for model in (runner.model, *averaged) for buffer in model.buffers()
                   if buffer.is_floating_point()]
        if buffers:
            all_reduce_params(buffers, op='mean')
