"""Checks and colour conversions shared by the metrics: arrays are HWC (or HW), RGB, in [0, 255]."""

from __future__ import annotations

import numpy as np

from mmweather.errors import DataError

# Studio-swing luma of BT.601 for R, G, B in [0, 255], to be divided by 255 (ITU-R BT.601).
LUMA_STUDIO = (65.481, 128.553, 24.966)
# Full-swing luma of BT.601, to the digits that MATLAB's `rgb2gray` uses (first row of the inverse NTSC matrix).
LUMA_FULL = (0.298936021293775, 0.587043074451121, 0.114020904255103)


def check_image(image: np.ndarray, name: str, channels: tuple[int, ...] = (3, )) -> np.ndarray:
    """Check one image and return it as float64.

    Args:
        image: (H, W, C), or (H, W) where 1 is among ``channels``; uint8 or float, values in [0, 255].
        name: name used in the error message.
        channels: allowed numbers of channels.

    Returns:
        np.ndarray: float64 of the same shape.

    Raises:
        DataError: wrong shape, empty, not a number, not finite, or outside [0, 255].
    """
    image = np.asarray(image)
    count = 1 if image.ndim == 2 else image.shape[-1] if image.ndim == 3 else 0
    if count not in channels or image.size == 0:
        wanted = ' or '.join(str(c) for c in channels)
        raise DataError(f'{name}: expected a picture (H, W, C) with {wanted} channel(s), got shape '
                        f'{tuple(image.shape)}; metrics take HWC arrays')
    if image.dtype == np.bool_ or not np.issubdtype(image.dtype, np.number) or np.iscomplexobj(image):
        raise DataError(f'{name}: expected uint8 or float values, got {image.dtype}')
    if image.dtype == np.uint8:
        return image.astype(np.float64)
    image = image.astype(np.float64)
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f'{name}: holds NaN or infinite values; check what wrote it')
    if low < 0 or high > 255:
        raise DataError(f'{name}: values span [{low:.4g}, {high:.4g}], expected [0, 255]; clip or rescale it first')
    return image


def check_pair(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> None:
    """Raise :class:`~mmweather.errors.DataError` unless both pictures have the same height and width."""
    if first.shape[:2] != second.shape[:2]:
        raise DataError(f'{names[0]} is {first.shape[0]}x{first.shape[1]} and {names[1]} is '
                        f'{second.shape[0]}x{second.shape[1]} (height x width); they must be equal')


def crop(image: np.ndarray, border: int) -> np.ndarray:
    """Cut ``border`` pixels off each side.

    Raises:
        DataError: nothing would be left, or the border is negative.
    """
    if border < 0:
        raise DataError(f'crop_border is {border}; it must be 0 or more')
    if border == 0:
        return image
    if min(image.shape[:2]) <= 2 * border:
        raise DataError(f'crop_border {border} leaves nothing of a picture of {image.shape[0]}x{image.shape[1]}; '
                        'use a smaller border')
    return image[border:-border, border:-border]


def luma(image: np.ndarray) -> np.ndarray:
    """Studio-swing Y, unrounded, in [16, 235]: ``16 + (65.481 R + 128.553 G + 24.966 B) / 255``.

    Args:
        image: (H, W, 3), RGB, float64 in [0, 255].
    """
    return 16.0 + image @ (np.array(LUMA_STUDIO) / 255.0)


def gray(image: np.ndarray, name: str = 'image') -> np.ndarray:
    """8-bit grey as MATLAB's ``rgb2gray`` gives for 8-bit pictures.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) RGB, uint8 or float in [0, 255]; floats are rounded first.
        name: how to call it in an error.

    Returns:
        np.ndarray: (H, W) uint8. A picture with three equal channels keeps its values.
    """
    values = np.rint(check_image(image, name, (1, 3)))
    if values.ndim == 3:
        values = values[..., 0] if values.shape[-1] == 1 else values @ np.array(LUMA_FULL)
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def gaussian_taps(size: int, sigma: float) -> np.ndarray:
    """Sampled Gaussian of ``size`` taps with sum 1, float64."""
    axis = np.arange(size) - (size - 1) / 2
    taps = np.exp(-axis**2 / (2 * sigma**2))
    return taps / taps.sum()


def smooth(image: np.ndarray, taps: np.ndarray, border: str = 'nearest') -> np.ndarray:
    """Separable filter over all axes of ``image``.

    Args:
        image: float64 array.
        taps: odd number of weights, used along every axis.
        border: ``'valid'`` (only where the window fits) or a mode of :func:`scipy.ndimage.correlate1d`
            (``'nearest'`` repeats the edge pixel).
    """
    from scipy.ndimage import correlate1d
    mode = 'nearest' if border == 'valid' else border
    for axis in range(image.ndim):
        image = correlate1d(image, taps, axis=axis, mode=mode)
    if border == 'valid':
        half = len(taps) // 2
        image = image[(slice(half, -half), ) * image.ndim] if half else image
    return image
