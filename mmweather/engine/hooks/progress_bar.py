"""Training as one line in the terminal."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from tqdm.auto import tqdm

from ...registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """A progress bar on stderr with the iteration, the loss and the last validation's PSNR.

    Only the main process draws it.  Metrics whose name contains ``psnr`` are shown (the first metric where none does).

    Args:
        only_terminal: draw nothing where stderr is not a terminal, e.g. in a log file.
    """

    priority = 'LOW'

    def __init__(self, only_terminal: bool = False) -> None:
        self.only_terminal = only_terminal
        self._bar: tqdm | None = None
        self._shown: dict[str, str] = {}

    def before_train(self, runner: Any) -> None:
        """Open the bar at the iteration from which training continues."""
        self._close()
        self._shown = {}
        if is_main_process():
            self._bar = tqdm(total=runner.max_iters, initial=runner.iter, desc='train', unit='it', dynamic_ncols=True,
                             disable=None if self.only_terminal else False)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Advance by one."""
        if self._bar is None:
            return
        loss = (outputs or {}).get('loss')
        if loss is not None:
            self._shown['loss'] = f'{float(loss.detach() if isinstance(loss, torch.Tensor) else loss):.4g}'
            self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Show the validation's result from now on."""
        if self._bar is None or not metrics:
            return
        scalars = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
        chosen = [name for name in scalars if 'psnr' in name.lower()] or list(scalars)[:1]
        self._shown.update({name.rsplit('/', 1)[-1]: f'{scalars[name]:.3f}' for name in chosen})
        self._bar.set_postfix(self._shown)

    def after_train(self, runner: Any) -> None:
        """Leave the finished bar on the screen."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
