"""Between reflectance in red, green and blue and the image that a map service shows."""

from __future__ import annotations

import numpy as np

from ..utils.arrays import to_uint8

# Reflectance of the air itself on a clear day, in red, green and blue.
_CLEAR_HAZE = np.array([0.02, 0.04, 0.065], np.float32)


def to_true_colour(rgb: np.ndarray, white: float = 0.5) -> np.ndarray:
    """Return the image that a map service shows: without the haze of a clear day, floating (H, W, 3) in [0, 1].

    Args:
        rgb: reflectance of red, green and blue (B4, B3, B2), (H, W, 3).
        white: reflectance shown as 1.
    """
    return np.clip((rgb - _CLEAR_HAZE) / (white - _CLEAR_HAZE), 0, 1)**0.6


def from_true_colour(picture: np.ndarray, white: float = 0.5) -> np.ndarray:
    """Return the reflectance that :func:`to_true_colour` shows as ``picture``, floating (H, W, 3)."""
    return _CLEAR_HAZE + picture**(1 / 0.6) * (white - _CLEAR_HAZE)


def true_colour(rgb: np.ndarray, white: float = 0.5) -> np.ndarray:
    """Return :func:`to_true_colour` in 8 bits: uint8 (H, W, 3)."""
    return to_uint8(to_true_colour(rgb, white))
