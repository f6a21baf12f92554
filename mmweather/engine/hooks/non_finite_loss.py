"""Stop before a NaN reaches the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.structures import BaseDataElement

from ...errors import NonFiniteLossError
from ...registry import HOOKS

_SHOWN = 8


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Raises when a loss is NaN or infinite, before its gradients exist.

    ``backward`` of every optimizer wrapper is guarded during training, and with it ``update_params``, which calls it.
    So the weights, the optimizer and the last checkpoint stay good, and models that step several optimizers in one
    ``train_step`` are covered.  The processes agree by one all-reduce, so they stop together instead of
    waiting for each other in the backward pass.  Only the loss is judged, unscaled: infinite *gradients* under mixed
    precision are GradScaler's business, which skips such steps.

    The error names the files of the batch: every metainfo key of the data samples (or key of a plain dict) that ends
    in ``_path``.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._guarded: list[OptimWrapper] = []
        self._batch: Any = None
        self._iteration = 0

    def before_train(self, runner: Any) -> None:
        """Guard every optimizer wrapper."""
        self._release()
        wrapper = runner.optim_wrapper
        names = wrapper.optim_wrappers if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}
        for name, single in names.items():
            self.guard(name, single)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch, in case its loss is bad."""
        self._batch, self._iteration = data_batch, runner.iter + 1

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Let the batch go."""
        self._batch = None

    def after_train(self, runner: Any) -> None:
        """Take the guards away."""
        self._release()

    def guard(self, name: str, wrapper: OptimWrapper) -> None:
        """Guard one more wrapper until training ends; ``name`` stands in the message."""
        backward = wrapper.backward

        def guarded_backward(loss: torch.Tensor, **kwargs: Any) -> None:
            self._judge(name, loss)
            backward(loss, **kwargs)

        # On the instance: deleting it uncovers the method again.
        wrapper.backward = guarded_backward
        self._guarded.append(wrapper)

    def _release(self) -> None:
        for wrapper in self._guarded:
            wrapper.__dict__.pop('backward', None)
        self._guarded.clear()

    def _judge(self, name: str, loss: torch.Tensor) -> None:
        bad = (~torch.isfinite(loss.detach())).any().float()
        mine = bool(bad)
        if get_world_size() > 1:
            all_reduce(bad, 'max')
        if not bool(bad):
            return
        self._release()
        files = sorted(set(_find_paths(self._batch)))
        report = (get_rank(), loss.detach().float().mean().item(), files) if mine else None
        reports = [each for each in all_gather_object(report) if each is not None]
        raise NonFiniteLossError(self._describe(name, reports))

    def _describe(self, name: str, reports: list[tuple[int, float, list[str]]]) -> str:
        which = f"of optimizer '{name}' " if name else ''
        values = ', '.join(f'{value} on rank {rank}' for rank, value, _ in reports)
        files = [file for *_, paths in reports for file in paths]
        if files:
            more = f' and {len(files) - _SHOWN} more' if len(files) > _SHOWN else ''
            images = 'the batch holds ' + ', '.join(files[:_SHOWN]) + more
        else:
            images = 'the batch names no files'
        return (f'loss {which}at iteration {self._iteration} is {values}; {images}; the weights are unchanged: '
                'look at these files, or lower the learning rate (optim_wrapper.optimizer.lr) and resume')


def _find_paths(node: Any) -> Iterator[str]:
    if isinstance(node, BaseDataElement):
        node = node.metainfo
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(key, str) and key.endswith('_path'):
                yield from (str(v) for v in (value if isinstance(value, (list, tuple)) else [value]) if v is not None)
            elif isinstance(value, (dict, list, tuple, BaseDataElement)):
                yield from _find_paths(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _find_paths(value)
