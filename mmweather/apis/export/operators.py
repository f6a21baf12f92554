"""Operators in a form that can be traced with open sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

_avg_pool2d = F.avg_pool2d


def _means(size: int, parts: int, like: Tensor, window: int | None = None) -> Tensor:
    """(parts, size): row i takes the mean of the i-th window, adaptive pooling's where none is given."""
    place = torch.arange(size, device=like.device)
    part = torch.arange(parts, device=like.device)[:, None]
    start = part * size // parts if window is None else part * window
    end = ((part + 1) * size + parts - 1) // parts if window is None else (part + 1) * window
    inside = (place >= start) & (place < end)
    return inside.to(like.dtype) / inside.sum(1, keepdim=True).to(like.dtype)


def adaptive_avg_pool2d(image: Tensor, output_size: int | None | Sequence[int | None]) -> Tensor:
    """As PyTorch's, by two matrix products; PyTorch's own is traced for one size only."""
    wanted = (output_size, output_size) if output_size is None or isinstance(output_size, int) else output_size
    rows, columns = (have if want is None else want for have, want in zip(image.shape[-2:], wanted, strict=True))
    if rows == columns == 1:
        return image.mean((-2, -1), keepdim=True)
    return _means(image.shape[-2], rows, image) @ image @ _means(image.shape[-1], columns, image).T


def avg_pool2d(image: Tensor, kernel_size: int | Sequence[int], *args: Any, **kwargs: Any) -> Tensor:
    """As PyTorch's; windows side by side by two matrix products, where PyTorch's own asks whether they fill a side."""
    if args or kwargs:
        return _avg_pool2d(image, kernel_size, *args, **kwargs)
    high, wide = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    height, width = image.shape[-2:]
    return _means(height, height // high, image, high) @ image @ _means(width, width // wide, image, wide).T


@contextlib.contextmanager
def traceable() -> Iterator[None]:
    """Within it, the replacements of this module stand for PyTorch's operators."""
    with mock.patch.multiple(F, adaptive_avg_pool2d=adaptive_avg_pool2d, avg_pool2d=avg_pool2d):
        yield
