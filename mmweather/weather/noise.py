"""Random fields that surfaces, clouds and foliage are made of."""

from __future__ import annotations

import cv2
import numpy as np


def picture_generator(seed: int, *place: object) -> np.random.Generator:
    """A generator of its own for each picture of a set, so that order and number of processes do not matter.

    Args:
        seed: of the whole set, not negative.
        place: names and numbers that tell the picture from the others.
    """
    return np.random.default_rng([seed, *' '.join(map(str, place)).encode()])


def fractal(shape: tuple[int, int], rng: np.random.Generator, slope: float = 1.0) -> np.ndarray:
    """A periodic Gaussian field with amplitude spectrum ``1 / f ** slope``.

    Args:
        shape: (H, W).
        rng: the source of randomness.
        slope: 0 is white noise, 1 is like natural texture, 2 is like clouds.

    Returns:
        float32 (H, W), mean 0, standard deviation 1; opposite edges continue each other.
    """
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    vertical = np.fft.fftfreq(shape[0])[:, None] * shape[0]
    horizontal = np.fft.rfftfreq(shape[1])[None] * shape[1]
    frequency = np.hypot(vertical, horizontal)
    frequency[0, 0] = 1
    spectrum /= frequency**slope
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=shape)
    return (field / (field.std() + 1e-12)).astype(np.float32)


def sample_periodic(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples of a periodic field at any coordinates (in cells of the field)."""
    height, width = field.shape[:2]
    return cv2.remap(field, np.mod(x, width).astype(np.float32), np.mod(y, height).astype(np.float32),
                     cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, a smooth ramp between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
