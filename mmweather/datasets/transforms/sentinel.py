"""Sentinel-1 and Sentinel-2 values as networks see them, and where clouds and shadows are.

Arrays are (H, W, bands).  Sentinel-2 has the 13 Level-1C bands B1, B2, ..., B8, B8A, B9, B10, B11, B12 as digital
numbers, reflectance times 10 000; Sentinel-1 has VV and VH in dB.  The scaling is that of DSen2-CR (Meraner et al.,
2020), the detector that of Schmitt et al. (2019) as DSen2-CR uses it.
"""

from __future__ import annotations

import numpy as np

from ...errors import DataError

OPTICAL_BANDS = 13
VV_FLOOR = -25.0
VH_FLOOR = -32.5
PUBLISHED_VH_FLOOR = -35.0
"""VH's floor in dB in the loader of ACA-CRNet, which its checkpoints expect."""
CLOUD_THRESHOLD = 0.2


def _check(image: np.ndarray, bands: int, what: str) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != bands or image.size == 0:
        raise DataError(f'{what}: expected (H, W, {bands}), got {image.shape}; give all bands, last axis, in order')
    return image


def fill_missing(image: np.ndarray) -> np.ndarray:
    """NaN replaced by the mean of all other values of the array, float32.

    Raises:
        DataError: there is no other value.
    """
    image = np.asarray(image, np.float32)
    missing = np.isnan(image)
    if not missing.any():
        return image
    if missing.all():
        raise DataError('every pixel is NaN; leave the image out')
    return np.where(missing, np.nanmean(image, dtype=np.float64).astype(np.float32), image)


def scale_optical(numbers: np.ndarray) -> np.ndarray:
    """Digital numbers (H, W, 13) clipped to 0...10000 and scaled to [0, 5], float32; NaN filled.

    Raises:
        DataError: another number of bands.
    """
    image = fill_missing(_check(numbers, OPTICAL_BANDS, 'Sentinel-2'))
    return image.clip(0, 10000) / np.float32(2000)


def scale_radar(decibel: np.ndarray, vh_floor: float = VH_FLOOR) -> np.ndarray:
    """VV and VH in dB (H, W, 2), clipped from their floors to 0 and scaled to [0, 2], float32; NaN filled.

    Args:
        decibel: VV, then VH.
        vh_floor: dB of VH that becomes 0; -35 for ACA-CRNet's checkpoints.

    Raises:
        DataError: another number of bands.
    """
    image = fill_missing(_check(decibel, 2, 'Sentinel-1'))
    floor = np.array([VV_FLOOR, vh_floor], np.float32)
    return (image.clip(floor, 0) - floor) / -floor * 2


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return (x - low) / (high - low)


def cloud_score(numbers: np.ndarray) -> np.ndarray:
    """How much each pixel looks like a cloud, (H, W) in [1e-5, 1]: bright in blue, aerosol, cirrus and RGB, not snow.

    Args:
        numbers: (H, W, 13) digital numbers.

    Raises:
        DataError: another number of bands.
    """
    from scipy import ndimage
    z = np.moveaxis(_check(numbers, OPTICAL_BANDS, 'Sentinel-2').astype(np.float64), -1, 0) / 10000
    total = z[2] + z[11]
    snow = (z[2] - z[11]) / np.where(total == 0, 0.001, total)
    score = np.minimum.reduce([
        np.ones_like(snow), _ramp(z[1], 0.1, 0.5), _ramp(z[0], 0.1, 0.3), _ramp(z[0] + z[10], 0.15, 0.2),
        _ramp(z[1] + z[2] + z[3], 0.2, 0.8), _ramp(snow, 0.8, 0.6)])
    score = ndimage.grey_closing(score, (5, 5))
    return ndimage.uniform_filter(score, 7, mode='constant').clip(1e-5, 1)


def shadow_mask(numbers: np.ndarray) -> np.ndarray:
    """Pixels dark in near infrared, shortwave infrared and blue, compared with the rest of the array, (H, W) bool.

    Args:
        numbers: (H, W, 13) digital numbers.
    """
    from scipy import ndimage
    z = np.moveaxis(_check(numbers, OPTICAL_BANDS, 'Sentinel-2').astype(np.float64), -1, 0) / 10000
    infrared = (z[7] + z[11]) / 2
    dark = np.ones(infrared.shape, bool)
    for x, part in ((infrared, 3 / 4), (z[1], 5 / 6)):
        dark &= x < x.min() + part * (x.mean() - x.min())
    return ndimage.median_filter(dark.astype(np.uint8), 5, mode='constant') > 0


def cloud_shadow_mask(numbers: np.ndarray, threshold: float = CLOUD_THRESHOLD) -> np.ndarray:
    """1 cloud, -1 shadow, 0 clear, (H, W) int8.

    Shadows are found by statistics of the array, so the mask of a crop differs from the crop of a mask.

    Args:
        numbers: (H, W, 13) digital numbers.
        threshold: least score of a cloud.
    """
    return np.where(cloud_score(numbers) >= threshold, 1, -shadow_mask(numbers).astype(np.int8)).astype(np.int8)
