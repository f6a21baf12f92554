"""Colour of a picture: distance to a reference as seen, and how far the whole is tinted.

All functions take HWC RGB arrays, uint8 or float, in [0, 255], read as sRGB, and compute in float64 in CIELAB (white
point D65, 2 degrees) by scikit-image.
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import check_image, check_pair, crop


def _lab(image: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2lab
    return rgb2lab(image / 255.0)


def ciede2000(pred: np.ndarray, target: np.ndarray, crop_border: int = 0) -> float:
    """Mean colour difference CIEDE2000 (Sharma et al., 2005) over all pixels; 0 for equal pictures.

    Args:
        pred: (H, W, 3), RGB, uint8 or float in [0, 255].
        target: the reference, as ``pred``.
        crop_border: pixels cut off each side of both.

    Raises:
        DataError: a picture is malformed or the sizes differ.
    """
    from skimage.color import deltaE_ciede2000
    pred, target = check_image(pred, 'prediction'), check_image(target, 'reference')
    check_pair(pred, target, ('prediction', 'reference'))
    return float(deltaE_ciede2000(_lab(crop(target, crop_border)), _lab(crop(pred, crop_border))).mean())


def _chroma(image: np.ndarray) -> np.ndarray:
    return _lab(check_image(image, 'picture'))[..., 1:].reshape(-1, 2)


def colour_cast(image: np.ndarray) -> float:
    """How far the mean colour lies from grey: length of the mean of (a*, b*) in CIELAB; 0 for a neutral picture.

    Args:
        image: (H, W, 3), RGB, uint8 or float in [0, 255].

    Raises:
        DataError: the picture is malformed.
    """
    return float(np.hypot(*_chroma(image).mean(0)))


def cast_factor(image: np.ndarray) -> float:
    """:func:`colour_cast` over the mean deviation of (a*, b*) from their means (Gasparini and Schettini, 2004).

    Large where nearly all pixels share one tint, as in dust; a picture with a few colourful things is below 1 or so.

    Args:
        image: as :func:`colour_cast`.

    Returns:
        float: ``nan`` where all pixels have one colour.

    Raises:
        DataError: the picture is malformed.
    """
    chroma = _chroma(image)
    mean = chroma.mean(0)
    spread = float(np.hypot(*np.abs(chroma - mean).mean(0)))
    return math.nan if spread < 1e-9 else float(np.hypot(*mean)) / spread
