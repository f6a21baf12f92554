"""Colour conversions of NiteDR's second stage, on float tensors (B, 3, H, W); planes in the order Y, Cr, Cb.

Two conventions meet in the published code: images are converted to *full-range* YCrCb (JPEG, OpenCV) on the
data side and back with the *limited-range* (video) matrix on the network side, which stretches contrast by
1.164.  Ours uses the full-range pair both ways; the published inverse is kept under its own name.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Rows give Y, Cr, Cb from R, G, B; offsets are added. BT.601 luma, OpenCV's chroma factors.
_FULL = ((0.299, 0.587, 0.114), (0.713 * (1 - 0.299), -0.713 * 0.587, -0.713 * 0.114),
         (-0.564 * 0.299, -0.564 * 0.587, 0.564 * (1 - 0.114)))
_FULL_INVERSE = tuple(map(tuple, np.linalg.inv(np.array(_FULL)).tolist()))
_FULL_OFFSET = (0.0, 128 / 255, 128 / 255)
# As published; the green factor of Y should read 0.504.
_PUBLISHED = ((0.257, 0.564, 0.098), (0.439, -0.368, -0.071), (-0.148, -0.291, 0.439))
_LIMITED_OFFSET = (16 / 255, 128 / 255, 128 / 255)
_LIMITED_INVERSE = ((1.164, 1.596, 0.0), (1.164, -0.813, -0.392), (1.164, 0.0, 2.017))


def _apply(x: Tensor, rows: tuple) -> Tensor:
    return torch.einsum('oc,bchw->bohw', x.new_tensor(rows), x)


def _offset(values: tuple[float, ...], x: Tensor) -> Tensor:
    return x.new_tensor(values).view(1, 3, 1, 1)


def rgb_to_ycrcb(rgb: Tensor) -> Tensor:
    """Full-range BT.601: RGB in [0, 1] to Y, Cr, Cb in [0, 1], (B, 3, H, W)."""
    return _apply(rgb, _FULL) + _offset(_FULL_OFFSET, rgb)


def ycrcb_to_rgb(ycrcb: Tensor) -> Tensor:
    """Exact inverse of :func:`rgb_to_ycrcb`; not clamped."""
    return _apply(ycrcb - _offset(_FULL_OFFSET, ycrcb), _FULL_INVERSE)


def published_rgb_to_ycrcb(rgb: Tensor) -> Tensor:
    """The published training loop's RGB to YCrCb, green factor 0.564 included; [0, 1] to [0, 1]."""
    return _apply(rgb, _PUBLISHED) + _offset(_LIMITED_OFFSET, rgb)


def published_ycrcb_to_rgb(ycrcb: Tensor) -> Tensor:
    """The published network side's YCrCb to RGB: limited-range BT.601; not clamped."""
    return _apply(ycrcb - _offset(_LIMITED_OFFSET, ycrcb), _LIMITED_INVERSE)


def quantise(image: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to the 256 levels of an 8-bit picture."""
    return (image.clamp(0, 1) * 255).round() / 255


def to_signed(image: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return image * 2 - 1


def to_unit(image: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (image + 1) / 2


def mix_chroma(first: Tensor, second: Tensor) -> Tensor:
    """Published training-time chroma: each pixel's mean weighted by the magnitude of either source.

    Args:
        first: one chroma plane (B, 1, H, W) in [-1, 1].
        second: the other source's plane.

    Returns:
        The same shape, clamped to [-1, 1].
    """
    a, b = first.abs() + 1e-8, second.abs() + 1e-8
    return ((a * first + b * second) / (a + b)).clamp(-1, 1)


def eight_bit_ycrcb(rgb: Tensor) -> Tensor:
    """OpenCV's YCrCb of an 8-bit RGB picture, rounding included.

    Luma is rounded first and chroma is taken from the rounded luma, in 14-bit fixed point, as OpenCV does.

    Args:
        rgb: (B, 3, H, W) float32 in [0, 1]; rounded to 8 bit first.

    Returns:
        (B, 3, H, W) planes Y, Cr, Cb in [0, 1], multiples of 1/255.
    """
    r, g, b = (rgb.float().clamp(0, 1) * 255).round().unbind(1)

    def descale(value: Tensor) -> Tensor:
        return ((value + 8192) / 16384).floor()

    y = descale(4899 * r + 9617 * g + 1868 * b)
    cr = descale(11682 * (r - y)) + 128
    cb = descale(9241 * (b - y)) + 128
    return torch.stack((y, cr, cb), 1).clamp(0, 255) / 255
