"""Classical filters and colour operators on batched tensors, with gradients."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def box_mean(img: Tensor, radius: int, published: bool = False) -> Tensor:
    """Mean over a square window of ``2 * radius + 1`` pixels.

    Args:
        img: (B, C, H, W), any range.
        radius: of the window.
        published: count zeros outside the image, which darkens the border; else only pixels inside count.

    Returns:
        The same shape.
    """
    # Rows, then columns: as many steps as a window has sides, not pixels.
    for kernel, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        img = F.avg_pool2d(img, kernel, 1, padding, count_include_pad=published)
    return img


def guided_filter(guide: Tensor, img: Tensor, radius: int = 16, eps: float = 1e-8, published: bool = False) -> Tensor:
    """Guided filter (He et al., ECCV 2010): smooths ``img`` and keeps the edges of ``guide``.

    Args:
        guide: (B, 1 or C, H, W).
        img: (B, C, H, W).
        radius: of the windows.
        eps: variance of the guide below which a window counts as flat.
        published: what SSDIE-Net's code computes: zeros outside count, and the offset is not averaged as such but is
            made from the averaged slope.

    Returns:
        The shape of ``img``.
    """

    def mean(x: Tensor) -> Tensor:
        return box_mean(x, radius, published)

    mean_guide, mean_img = mean(guide), mean(img)
    covariance = mean(guide * img) - mean_guide * mean_img
    slope = covariance / (mean(guide * guide) - mean_guide * mean_guide + eps)
    mean_slope = mean(slope)
    offset = mean_img - mean_slope * mean_guide if published else mean(mean_img - slope * mean_guide)
    return mean_slope * guide + offset


def grey_world(img: Tensor) -> Tensor:
    """Grey-world colour balance.

    Args:
        img: (B, C, H, W), [0, 1].

    Returns:
        Each channel scaled to the mean of all, clamped to [0, 1]; a black channel stays black.
    """
    means = img.mean((2, 3), keepdim=True)
    return (img * means.mean(1, keepdim=True) / means.clamp_min(1e-6)).clamp(0, 1)
