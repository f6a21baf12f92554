"""Fidelity of images with any number of bands, such as satellite reflectances: errors, PSNR, SSIM, spectral angle.

All functions take arrays (H, W, C), float or integer, in [0, peak], and compute in float64.  They follow the scripts
published with ACA-CRNet (whose figures are those of UnCRtainTS but for the window of SSIM): every figure is taken over
all bands of one image; averaging over images is left to the caller.
"""

from __future__ import annotations

import math

import numpy as np

from mmweather.errors import DataError

from .arrays import smooth

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
EQUAL_PSNR = 100.0
"""PSNR in dB of equal images, by the convention of the published scripts."""


def _pair(pred: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred, target = np.asarray(pred), np.asarray(target)
    for name, image in (('prediction', pred), ('reference', target)):
        if image.ndim != 3 or image.size == 0:
            raise DataError(f'{name}: expected an image (H, W, C), got shape {image.shape}; metrics take HWC arrays')
        if not np.issubdtype(image.dtype, np.number) or np.iscomplexobj(image):
            raise DataError(f'{name}: expected numbers, got {image.dtype}')
        if not np.isfinite(image).all():
            raise DataError(f'{name}: holds NaN or infinite values; fill or leave out the pixels without data')
    if pred.shape != target.shape:
        raise DataError(f'prediction is {pred.shape} and reference is {target.shape} (H, W, C); they must be equal')
    return pred.astype(np.float64), target.astype(np.float64)


def mae(pred: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute error, in the unit of the images.

    Args:
        pred: (H, W, C).
        target: the reference, as ``pred``.

    Raises:
        DataError: an image is malformed or not finite, or the shapes differ.
    """
    pred, target = _pair(pred, target)
    return float(np.abs(pred - target).mean())


def mse(pred: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean squared error.  Arguments and errors as :func:`mae`.

    Args:
        pred: (H, W, C).
        target: the reference, as ``pred``.
        mask: (H, W), the pixels to take; None for all, NaN where it takes none.
    """
    pred, target = _pair(pred, target)
    squared = np.square(pred - target)
    if mask is None:
        return float(squared.mean())
    mask = np.asarray(mask, bool)
    if mask.shape != pred.shape[:2]:
        raise DataError(f'the mask is {mask.shape}, the images are {pred.shape[:2]} (H, W); they must be equal')
    return float(squared[mask].mean()) if mask.any() else math.nan


def rmse(pred: np.ndarray, target: np.ndarray) -> float:
    """Root of :func:`mse`."""
    return math.sqrt(mse(pred, target))


def band_rmse(pred: np.ndarray, target: np.ndarray) -> float:
    """Mean over the bands of each band's root mean squared error.  Arguments and errors as :func:`mae`."""
    pred, target = _pair(pred, target)
    return float(np.sqrt(np.square(pred - target).mean((0, 1))).mean())


def psnr(pred: np.ndarray, target: np.ndarray, peak: float = 1.0, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all bands; 100 for equal images.

    Args:
        pred: (H, W, C).
        target: the reference, as ``pred``.
        peak: largest value that a pixel can have.
        mask: see :func:`mse`.
    """
    error = mse(pred, target, mask)
    return EQUAL_PSNR if error == 0 else 10 * math.log10(peak**2 / error)


def ssim_taps(published: bool = False) -> np.ndarray:
    """The Gaussian of SSIM's window, 11 taps with sum 1.

    Args:
        published: centred at 5.5 as in the published scripts, half a pixel off, in place of 5.
    """
    axis = np.arange(SSIM_WINDOW) - (5.5 if published else 5.0)
    taps = np.exp(-axis**2 / (2 * SSIM_SIGMA**2))
    return taps / taps.sum()


def ssim(pred: np.ndarray, target: np.ndarray, peak: float = 1.0, published: bool = False) -> float:
    """Structural similarity per band, zeros beyond the border, mean over pixels and bands.

    Args:
        pred: (H, W, C), at least 1 pixel a side.
        target: the reference, as ``pred``.
        peak: L of the constants (0.01 L)^2 and (0.03 L)^2.
        published: see :func:`ssim_taps`.
    """
    pred, target = _pair(pred, target)
    taps = ssim_taps(published)
    c1, c2 = (0.01 * peak)**2, (0.03 * peak)**2
    values = []
    for a, b in zip(np.moveaxis(pred, -1, 0), np.moveaxis(target, -1, 0), strict=True):
        mean_a, mean_b, aa, bb, ab = (smooth(x, taps, 'constant') for x in (a, b, a * a, b * b, a * b))
        structure = 2 * (ab - mean_a * mean_b) + c2
        spread = aa - mean_a**2 + bb - mean_b**2 + c2
        values.append(((2 * mean_a * mean_b + c1) * structure / ((mean_a**2 + mean_b**2 + c1) * spread)).mean())
    return float(np.mean(values))


def spectral_angle(pred: np.ndarray, target: np.ndarray, published: bool = False) -> float:
    """Mean over the pixels of the angle between the spectra, in degrees (SAM).

    A spectrum of zeros has no angle.  Such pixels are left out; NaN where none is left.

    Args:
        pred: (H, W, C).
        target: the reference, as ``pred``.
        published: NaN as soon as one spectrum is zero, as in the published scripts, which leave such images out.
    """
    pred, target = _pair(pred, target)
    length = np.linalg.norm(pred, axis=-1) * np.linalg.norm(target, axis=-1)
    known = length > 0
    if not known.any() or (published and not known.all()):
        return math.nan
    cosine = (pred * target).sum(-1)[known] / length[known]
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())
