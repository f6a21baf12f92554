"""Resizing with antialiasing, as Pillow and torchvision do it on pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image


def resize_picture(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear with antialiasing.

    Args:
        image: uint8, (H, W) or (H, W, 3).
        height: of the result.
        width: of the result.

    Returns:
        uint8, (height, width[, 3]).
    """
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, height: int, width: int, published: bool = False) -> np.ndarray:
    """Resize a mask and make it 0 or 1.

    Args:
        mask: (H, W) uint8, set where it is not 0.
        height: of the result.
        width: of the result.
        published: resize bilinearly and take whatever is not 0, which grows the mask, in place of the nearest pixel.

    Returns:
        (height, width) uint8, 0 or 1.
    """
    if published:
        return (resize_picture(mask, height, width) != 0).astype(np.uint8)
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return (np.asarray(resized) != 0).astype(np.uint8)
