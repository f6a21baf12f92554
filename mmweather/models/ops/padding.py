"""Padding images of any size to what a network takes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def padded_size(size: int, multiple_of: int, minimum: int) -> int:
    """The least multiple of ``multiple_of`` that is at least ``size`` and ``minimum``."""
    return -(-max(size, minimum) // multiple_of) * multiple_of


def pad_to_multiple(image: Tensor, multiple_of: int = 1, minimum: int = 1) -> Tensor:
    """Pad at the bottom and on the right.

    The content is mirrored without repeating the edge, as the published codes do. Where a side is too short for
    that, it is mirrored as often as needed; a single row or column is repeated.

    Args:
        image: (B, C, H, W), any size from 1x1.
        multiple_of: height and width of the result are multiples of this.
        minimum: least height and width of the result.

    Returns:
        (B, C, H', W'), the image itself where it fits.
    """
    wanted = [padded_size(size, multiple_of, minimum) for size in image.shape[-2:]]
    while list(image.shape[-2:]) != wanted:
        height, width = image.shape[-2:]
        down, right = (min(want - have, max(have - 1, 0)) for want, have in zip(wanted, (height, width), strict=True))
        if down or right:
            image = F.pad(image, (0, right, 0, down), mode='reflect')
        if height == 1 or width == 1:
            rows = wanted[0] - height if height == 1 else 0
            columns = wanted[1] - width if width == 1 else 0
            image = F.pad(image, (0, columns, 0, rows), mode='replicate')
    return image


def crop_to(image: Tensor, height: int, width: int, scale: int = 1) -> Tensor:
    """Undo :func:`pad_to_multiple`: the top left ``height`` x ``width`` pixels, times ``scale``."""
    return image[..., :height * scale, :width * scale]
