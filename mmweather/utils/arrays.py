"""Images as arrays: rounding to 8 bits, thermal counts as grey, images in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def to_uint8(image: np.ndarray, top: float = 1.0) -> np.ndarray:
    """Return an image in 8 bits, clipped and rounded half to even.

    Args:
        image: floating, any shape, values in [0, ``top``].
        top: value that becomes 255: 1 or 255.
    """
    image = np.clip(image, 0, top)
    return np.rint(image if top == 255 else image * (255 / top)).astype(np.uint8)


def tensor_to_uint8(image: Tensor, top: float = 1.0) -> Tensor:
    """Return a tensor in 8 bits, clipped and rounded half to even.

    Args:
        image: floating, any shape, values in [0, ``top``]; computed in float32.
        top: value that becomes 255: 1 or 255.
    """
    import torch

    image = image.float().clamp(0, top)
    return (image if top == 255 else image.mul_(255 / top)).round_().to(torch.uint8)


def counts_to_grey(counts: np.ndarray, limits: Sequence[float] | None = None) -> np.ndarray:
    """Return a thermal image as grey.

    Args:
        counts: floating (H, W).
        limits: counts that become black and white; by default the minimum and maximum of the image.

    Returns:
        uint8 (H, W, 3), three equal channels.
    """
    low, high = limits or (counts.min(), counts.max())
    grey = to_uint8((counts - low) / max(high - low, 1e-6))
    return np.repeat(grey[..., None], 3, axis=2)


def side_by_side(images: Sequence[np.ndarray], gap: int = 0) -> np.ndarray:
    """Return images in a row, tops aligned; shorter ones are filled with white.

    Args:
        images: uint8 (H, W, 3).
        gap: width of the white gap between two images, in pixels.
    """
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] + gap for image in images) - gap
    row = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for image in images:
        row[:image.shape[0], left:left + image.shape[1]] = image
        left += image.shape[1] + gap
    return row
