"""Several batches in one pass, each with batch-norm statistics of its own."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def _part_by_part(x: Tensor, own: Callable[[Tensor], Tensor], groups: int) -> Tensor:
    return torch.cat([own(part) for part in x.chunk(groups)])


@contextlib.contextmanager
def statistics_per_group(network: nn.Module, groups: int) -> Iterator[None]:
    """Inside, batch norms in training mode take a batch as ``groups`` equal parts, one after the other.

    Outputs, gradients and running statistics are then those of ``groups`` passes with one part each. In evaluation
    mode a batch norm does not mix images, so nothing changes.

    Args:
        network: its batch norms are concerned, wherever they stand. One that takes images one by one in training
            declares ``norm_per_image = True`` and is left alone.
        groups: number of parts; the batch is a multiple of it.
    """
    if groups == 1 or getattr(network, 'norm_per_image', False):
        yield
        return
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
    for norm in norms:
        # On the instance: deleting it uncovers the method again.
        norm.forward = functools.partial(_part_by_part, own=norm.forward, groups=groups)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward
