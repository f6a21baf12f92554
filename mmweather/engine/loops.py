"""Training loops."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.runner import IterBasedTrainLoop

from ..registry import LOOPS


def find_sampler(dataloader: Any) -> Any:
    """The sampler that chooses the indices, also where a batch sampler is configured."""
    return getattr(dataloader.batch_sampler, 'sampler', dataloader.sampler)


@LOOPS.register_module()
class SeededIterBasedTrainLoop(IterBasedTrainLoop):
    """MMEngine's iteration-based loop, resuming by position.

    MMEngine loads and throws away every batch that was already trained on; this loop tells the sampler where to
    start.  It needs :class:`~mmweather.datasets.samplers.SeededInfiniteSampler`; with another sampler it does what
    MMEngine does.

    Args:
        runner: the runner.
        dataloader: the data loader or its config.
        max_iters: iterations to train.
        val_begin: first iteration that may validate.
        val_interval: iterations between validations.
        dynamic_intervals: see :class:`mmengine.runner.IterBasedTrainLoop`.
    """

    def run(self) -> torch.nn.Module:
        """Train; returns the model."""
        sampler = find_sampler(self.dataloader)
        if not hasattr(sampler, 'set_position'):
            return super().run()
        seed = sampler.seed
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        # MMEngine made the iterator before the checkpoint was read: its workers may have loaded other samples.
        if self._iter > 0 or sampler.seed != seed:
            sampler.set_position(self._iter * self.dataloader.batch_sampler.batch_size)
            self.dataloader_iterator = type(self.dataloader_iterator)(self.dataloader)
            self.runner.logger.info(f'The data stream continues at iteration {self._iter}; no batch is replayed.')

        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
            if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
                self.runner.val_loop.run()

        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model
