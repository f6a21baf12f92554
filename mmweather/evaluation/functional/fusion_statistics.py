"""Pixel statistics of a fused picture: EN, MI, SD, SF, AG, CC, SCD, MSE, PSNR, VIF.

Every function takes (H, W) uint8 grey pictures (see :func:`.arrays.gray`) of equal size.  Definitions, and the
constants in them, are those of Linfeng Tang's toolkit "Evaluation-for-Image-Fusion".
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import gaussian_taps, smooth

VIF_LEAST = 41
"""Smallest side for which all four scales of VIF hold a full window."""


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0


def en(fused: np.ndarray) -> float:
    """Shannon entropy of the 256-bin histogram, in bits."""
    return _entropy(np.bincount(fused.ravel(), minlength=256))


def _mutual(first: np.ndarray, second: np.ndarray, published: bool) -> float:
    a, b = first.ravel().astype(np.int64), second.ravel().astype(np.int64)
    marginal = _entropy(np.bincount(a)) + _entropy(np.bincount(b))
    if published:
        a, b = np.minimum(a, 254), np.minimum(b, 254)
    return marginal - _entropy(np.bincount(a * 256 + b))


def mi(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray, published: bool = False) -> float:
    """Mutual information I(fused; infrared) + I(fused; visible), 256 x 256 bins, in bits.

    Args:
        fused: (H, W) uint8.
        infrared: as ``fused``.
        visible: as ``fused``.
        published: count grey levels 254 and 255 as one in the joint histogram, as the toolkit does (its 8-bit
            addition saturates).
    """
    return _mutual(fused, infrared, published) + _mutual(fused, visible, published)


def sd(fused: np.ndarray) -> float:
    """Standard deviation over all pixels, in grey levels."""
    return float(fused.std(dtype=np.float64))


def sf(fused: np.ndarray) -> float:
    """Spatial frequency: root of the mean squared differences along rows plus those along columns."""
    fused = fused.astype(np.float64)
    return math.sqrt(sum(float(np.mean(np.diff(fused, axis=axis)**2)) for axis in (0, 1) if fused.shape[axis] > 1))


def ag(fused: np.ndarray) -> float:
    """Average gradient: the sum of sqrt((dx^2 + dy^2) / 2) over (H - 1)(W - 1).

    Derivatives are central, one-sided at the borders; ``nan`` for a picture one pixel high or wide.
    """
    if min(fused.shape) < 2:
        return math.nan
    dy, dx = np.gradient(fused.astype(np.float64))
    return float(np.sqrt((dx**2 + dy**2) / 2).sum() / ((fused.shape[0] - 1) * (fused.shape[1] - 1)))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean(dtype=np.float64), second - second.mean(dtype=np.float64)
    norm = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else math.nan


def cc(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Mean Pearson correlation of ``fused`` with both sources; ``nan`` where a picture is constant."""
    return 0.5 * (_correlation(fused, infrared) + _correlation(fused, visible))


def scd(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Sum of the correlations of differences (Aslantas and Bendes, 2015): r(F - V, I) + r(F - I, V).

    ``nan`` where a picture or a difference is constant.
    """
    fused, infrared, visible = (x.astype(np.float64) for x in (fused, infrared, visible))
    return _correlation(fused - visible, infrared) + _correlation(fused - infrared, visible)


def mse(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Mean of the mean squared errors against both sources, pictures in [0, 1]."""
    fused = fused.astype(np.float64)
    return 0.5 * sum(float(np.mean((fused - source)**2)) for source in (infrared, visible)) / 255.0**2


def psnr(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Peak signal-to-noise ratio of :func:`mse`, 10 log10(1 / MSE), in dB; ``inf`` where all three are equal."""
    error = mse(fused, infrared, visible)
    return math.inf if error == 0 else -10.0 * math.log10(error)


def psnr_toolkit(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """PSNR as fusion papers print it: peak 255 over the error of pictures in [0, 1], 48.13 dB above :func:`psnr`."""
    return psnr(fused, infrared, visible) + 20.0 * math.log10(255.0)


def _vif(reference: np.ndarray, distorted: np.ndarray) -> float:
    ref, dist = reference.astype(np.float64), distorted.astype(np.float64)
    noise, tiny, gained, total = 2.0, 1e-10, 0.0, 0.0
    for scale in range(4):
        size = 2**(4 - scale) + 1
        taps = gaussian_taps(size, size / 5)
        if scale:
            ref, dist = (smooth(x, taps, 'valid')[::2, ::2] for x in (ref, dist))
        mean1, mean2 = smooth(ref, taps, 'valid'), smooth(dist, taps, 'valid')
        var1 = np.maximum(smooth(ref * ref, taps, 'valid') - mean1**2, 0)
        var2 = np.maximum(smooth(dist * dist, taps, 'valid') - mean2**2, 0)
        cov = smooth(ref * dist, taps, 'valid') - mean1 * mean2
        # Channel model: distorted = gain * reference + noise of variance `rest`; no information where the gain
        # is negative or one of the pictures is flat.
        flat = (var1 < tiny) | (var2 < tiny)
        gain = np.where(flat, 0.0, cov / (var1 + tiny))
        rest = np.where(gain < 0, var2, np.where(flat, np.where(var2 < tiny, 0.0, var2), var2 - gain * cov))
        gain, rest = np.maximum(gain, 0), np.maximum(rest, tiny)
        var1 = np.where(var1 < tiny, 0.0, var1)
        gained += float(np.log10(1 + gain**2 * var1 / (rest + noise)).sum())
        total += float(np.log10(1 + var1 / noise).sum())
    return gained / total if total > 0 else math.nan


def vif(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Visual information fidelity of ``fused``: the sum over both sources, so about [0, 2].

    Pixel-domain multi-scale VIF (Sheikh and Bovik, 2006): four scales, Gaussian windows of 17, 9, 5, 3 taps with
    sigma a fifth of that, full windows only, noise variance 2, pictures in [0, 255].

    Returns:
        float: ``nan`` where a side is below 41 pixels or a source is constant.
    """
    if min(fused.shape) < VIF_LEAST:
        return math.nan
    return _vif(infrared, fused) + _vif(visible, fused)
