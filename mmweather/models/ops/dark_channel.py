"""The dark channel of batched images, with gradients."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dark_channel(img: Tensor, window: int = 15) -> Tensor:
    """Least value over all channels and over a window around each pixel (He et al., CVPR 2009).

    Args:
        img: (B, C, H, W), any range and size; what lies outside does not count.
        window: side of the window in pixels, odd.

    Returns:
        (B, 1, H, W).
    """
    least = -img.amin(1, keepdim=True)
    for kernel in ((window, 1), (1, window)):
        least = F.max_pool2d(least, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    return -least


def block_dark_channel(img: Tensor, block: int = 16, expand: bool = True) -> Tensor:
    """Least value over all channels and over blocks that do not overlap.

    The gradient of a block is shared equally by all entries that hold its minimum.

    Args:
        img: (B, C, H, W), any range and size; blocks at the right and bottom edge may be incomplete.
        block: side of a block in pixels.
        expand: give every pixel its block's value, else one value a block.

    Returns:
        (B, 1, H, W), or (B, 1, ceil(H / block), ceil(W / block)) without ``expand``.
    """
    height, width = img.shape[-2:]
    bottom, right = -height % block, -width % block
    if bottom or right:
        img = F.pad(img, (0, right, 0, bottom), value=float('inf'))
    least = img.unflatten(-1, (-1, block)).unflatten(-3, (-1, block)).amin((1, 3, 5)).unsqueeze(1)
    if not expand:
        return least
    rows, columns = least.shape[-2:]
    wide = least[..., :, None, :, None].expand(-1, -1, rows, block, columns, block)
    return wide.flatten(4, 5).flatten(2, 3)[..., :height, :width]
