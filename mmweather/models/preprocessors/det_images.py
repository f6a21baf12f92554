"""Between what a mmdet detector takes and pictures: values, padding and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmweather.utils.arrays import tensor_to_uint8


def bgr(preprocessor: Any) -> bool:
    """Whether mmdet's preprocessor leaves the channels as mmdet loads them, BGR."""
    return not getattr(preprocessor, '_channel_conversion', False)


def denormalised(images: Tensor, preprocessor: Any) -> Tensor:
    """Images (B, 3, H, W) as mmdet's ``preprocessor`` delivers them, to RGB in [0, 255], not clamped."""
    if getattr(preprocessor, '_enable_normalize', False):
        images = images * preprocessor.std + preprocessor.mean
    return images.flip(1) if bgr(preprocessor) else images


def normalised(images: Tensor, preprocessor: Any) -> Tensor:
    """The inverse of :func:`denormalised`."""
    images = images.flip(1) if bgr(preprocessor) else images
    if getattr(preprocessor, '_enable_normalize', False):
        images = (images - preprocessor.mean) / preprocessor.std
    return images


def offset_of(meta: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns before the image in its canvas (``pad_param``: top, bottom, left, right)."""
    padding = meta.get('pad_param')
    return (0, 0) if padding is None else (int(padding[0]), int(padding[2]))


def picture_of(image: Tensor, meta: Mapping[str, Any], padded: Sequence[int], rescale: bool = True) -> Tensor:
    """Cut the padding off and, with ``rescale``, undo the resizing.

    Args:
        image: (3, H, W) in [0, 255], of the padded size.
        meta: metainfo of mmdet's data sample.
        padded: height and width of the detector's input, where ``meta`` does not tell the size of its content.
        rescale: return the size of the original image, not that of the input.

    Returns:
        uint8 (3, H', W').
    """
    shape = meta.get('img_shape', padded)[:2]
    original = meta.get('ori_shape', shape)[:2]
    top, left = offset_of(meta)
    # Padding in the pipeline counts as part of img_shape; only the factors tell the content.
    factors = meta.get('scale_factor')
    if factors is not None:
        content = [round(side * factor) for side, factor in zip(original, (factors[1], factors[0]), strict=True)]
        shape = [min(a, b) for a, b in zip(content, shape, strict=True)]
    image = image[:, top:top + max(shape[0], 1), left:left + max(shape[1], 1)]
    if rescale and tuple(image.shape[-2:]) != tuple(original):
        image = F.interpolate(image[None], tuple(original), mode='bilinear', align_corners=False, antialias=True)[0]
    return tensor_to_uint8(image, 255)
