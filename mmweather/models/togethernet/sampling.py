"""Deformable convolution as two matrix products, for small maps on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor


def _corners(place: Tensor, size: int) -> tuple[list[Tensor], list[Tensor]]:
    """Indices and weights of the neighbours of each place on one axis; neighbours outside weigh nothing."""
    low = place.detach().floor()
    fraction = place - low
    indices, weights = [], []
    for near, weight in ((low, 1 - fraction), (low + 1, fraction)):
        weights.append(weight * ((near >= 0) & (near < size)))
        indices.append(near.clamp(0, size - 1).long())
    return indices, weights


def deform_by_matrices(x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Modulated deformable convolution, stride 1, odd kernel, padded to the size of its input.

    The bilinear weights of all taps form a matrix (H W, taps H W) an image, four numbers a column.  The product of the
    map with it gives the columns that the kernel's matrix is applied to.  Against torchvision's kernel for CPUs the
    backward pass is several times faster as long as H W is not much more than the number of channels; the matrix grows
    with the square of H W.

    Args:
        x: (B, C, H, W).
        offset: (B, 2 * taps, H, W), y before x for each tap, in pixels; finite.
        weight: (O, C, k, k).
        mask: (B, taps, H, W).

    Returns:
        (B, O, H, W), as ``torchvision.ops.deform_conv2d(x, offset, weight, padding=k // 2, mask=mask)``.
    """
    b, c, h, w = x.shape
    k = weight.shape[-1]
    taps = torch.arange(k, device=x.device, dtype=x.dtype) - k // 2
    rows, columns = (torch.arange(n, device=x.device, dtype=x.dtype) for n in (h, w))
    moved = offset.view(b, k, k, 2, h, w)
    y = moved[:, :, :, 0] + taps.view(k, 1, 1, 1) + rows.view(h, 1)
    z = moved[:, :, :, 1] + taps.view(k, 1, 1) + columns
    (top, high), (left, wide) = _corners(y, h), _corners(z, w)
    gate = mask.view(b, k, k, h, w)
    index = torch.stack([r * w + q for r in top for q in left], 1).view(b, 4, -1)
    value = torch.stack([r * q * gate for r in high for q in wide], 1).view(b, 4, -1)
    matrix = x.new_zeros(b, h * w, k * k * h * w).scatter_add(1, index, value)
    sampled = torch.bmm(x.flatten(2), matrix).view(b, -1, h * w)
    return (weight.flatten(1) @ sampled).view(b, -1, h, w)
