"""Fidelity of a restored picture to its reference: PSNR, SSIM, MS-SSIM.

All functions take HWC RGB arrays, uint8 or float, in [0, 255], and compute in float64.  Nothing is rounded
here; a published protocol that stores the picture as 8 bits first is followed by passing it rounded.

``psnr_y``, ``psnr_rgb``, ``ssim_y`` and ``ssim_rgb3d`` follow the validation code published with NiteDR, which
comes from BasicSR.
"""

from __future__ import annotations

import math

import numpy as np

from mmweather.errors import DataError

from .arrays import check_image, check_pair, crop, gaussian_taps, luma, smooth

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
MS_SSIM_LEAST = (SSIM_WINDOW - 1) * 2**4 + 1
"""Smallest side for which MS-SSIM with five scales is defined: the window must fit at the coarsest scale."""


def _prepare(pred: np.ndarray, target: np.ndarray, crop_border: int) -> tuple[np.ndarray, np.ndarray]:
    pred, target = check_image(pred, 'prediction'), check_image(target, 'reference')
    check_pair(pred, target, ('prediction', 'reference'))
    return crop(pred, crop_border), crop(target, crop_border)


def _psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = float(np.mean((first - second)**2))
    return math.inf if error == 0 else 10.0 * math.log10(255.0**2 / error)


def psnr_rgb(pred: np.ndarray, target: np.ndarray, crop_border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and the three channels, peak 255.

    Args:
        pred: (H, W, 3), RGB, uint8 or float in [0, 255].
        target: the reference, as ``pred``.
        crop_border: pixels cut off each side of both.

    Returns:
        float: dB; ``inf`` for equal pictures.

    Raises:
        DataError: a picture is malformed or the sizes differ.
    """
    return _psnr(*_prepare(pred, target, crop_border))


def psnr_y(pred: np.ndarray, target: np.ndarray, crop_border: int = 0) -> float:
    """As :func:`psnr_rgb`, on the unrounded studio-swing Y of BT.601; the peak stays 255."""
    pred, target = _prepare(pred, target, crop_border)
    return _psnr(luma(pred), luma(target))


def ssim_map(first: np.ndarray, second: np.ndarray, data_range: float = 255.0, border: str = 'nearest') -> np.ndarray:
    """Structural similarity at every pixel (Wang et al., 2004), Gaussian window of 11 taps, sigma 1.5, on every axis.

    Args:
        first: float64, (H, W), or (H, W, C) for a window that also runs over the channels.
        second: as ``first``.
        data_range: L of the constants (0.01 L)^2 and (0.03 L)^2.
        border: ``'nearest'`` repeats edge pixels and keeps the size; ``'valid'`` keeps only full windows.

    Raises:
        DataError: height or width is below 11.
    """
    if min(first.shape[:2]) < SSIM_WINDOW:
        raise DataError(f'SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, got {first.shape[0]}x'
                        f'{first.shape[1]}; leave SSIM out for pictures this small')
    taps = gaussian_taps(SSIM_WINDOW, SSIM_SIGMA)
    c1, c2 = (0.01 * data_range)**2, (0.03 * data_range)**2
    mean1, mean2 = smooth(first, taps, border), smooth(second, taps, border)
    var1 = smooth(first * first, taps, border) - mean1**2
    var2 = smooth(second * second, taps, border) - mean2**2
    cov = smooth(first * second, taps, border) - mean1 * mean2
    return ((2 * mean1 * mean2 + c1) * (2 * cov + c2)) / ((mean1**2 + mean2**2 + c1) * (var1 + var2 + c2))


def ssim_y(pred: np.ndarray, target: np.ndarray, crop_border: int = 0) -> float:
    """SSIM on studio-swing Y: 11x11 Gaussian window, edge pixels repeated, data range 255, mean over all pixels.

    Args:
        pred: (H, W, 3), RGB, uint8 or float in [0, 255].
        target: the reference, as ``pred``.
        crop_border: pixels cut off each side of both before filtering.

    Raises:
        DataError: a picture is malformed, smaller than 11x11 after cropping, or the sizes differ.
    """
    pred, target = _prepare(pred, target, crop_border)
    return float(ssim_map(luma(pred), luma(target)).mean())


def ssim_rgb3d(pred: np.ndarray, target: np.ndarray, crop_border: int = 0) -> float:
    """SSIM on RGB with an 11x11x11 Gaussian window over height, width and colour, edges repeated on all three axes.

    The value is the same for RGB and BGR order.  Arguments and errors as :func:`ssim_y`.
    """
    return float(ssim_map(*_prepare(pred, target, crop_border)).mean())


def ms_ssim(pred: np.ndarray, target: np.ndarray, crop_border: int = 0) -> float:
    """Multi-scale SSIM (Wang et al., 2003) on RGB by ``pytorch_msssim``: five scales, full windows, data range 255.

    Arguments and errors as :func:`psnr_rgb`.

    Returns:
        float: the mean over the three channels; ``nan`` where the shorter side is below 161 pixels, since fewer
        scales would be another metric.
    """
    pred, target = _prepare(pred, target, crop_border)
    return ms_ssim_planes(pred, target)


def ms_ssim_planes(first: np.ndarray, second: np.ndarray) -> float:
    """:func:`ms_ssim` of two float64 arrays (H, W) or (H, W, C) in [0, 255] without further checks."""
    if min(first.shape[:2]) < MS_SSIM_LEAST:
        return math.nan
    import torch
    from pytorch_msssim import ms_ssim as by_library
    pair = [torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.atleast_3d(x), -1, 0)))[None] for x in (first, second)]
    return float(by_library(*pair, data_range=255.0))
