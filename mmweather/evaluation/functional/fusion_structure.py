"""Structure kept by a fused picture: Qabf, SSIM, MS-SSIM (of grey pictures), and MS-SSIM for fusion.

Every function takes (H, W) uint8 grey pictures of equal size; definitions are those of Linfeng Tang's toolkit
"Evaluation-for-Image-Fusion" where the docstring says so.
"""

from __future__ import annotations

import math

import numpy as np

from .arrays import gaussian_taps, smooth
from .restoration import SSIM_SIGMA, SSIM_WINDOW, ms_ssim_planes, ssim_map

MEF_LEAST = 44
"""Smallest side for which the third scale of :func:`ms_ssim_toolkit` holds a full window."""


def _gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel strength and orientation in (-pi/2, pi/2], zeros beyond the border."""
    from scipy.ndimage import correlate1d
    image = image.astype(np.float64)

    def derivative(axis: int) -> np.ndarray:
        along = correlate1d(image, [-1.0, 0.0, 1.0], axis, mode='constant')
        return correlate1d(along, [1.0, 2.0, 1.0], 1 - axis, mode='constant')

    dy, dx = derivative(0), derivative(1)
    upright = dx == 0
    angle = np.where(upright, np.pi / 2, np.arctan(dy / np.where(upright, 1.0, dx)))
    return np.hypot(dx, dy), angle


def _preserved(source: tuple[np.ndarray, np.ndarray], fused: tuple[np.ndarray, np.ndarray],
               published: bool) -> np.ndarray:
    """How much of each edge of ``source`` survives in ``fused``, in (0, 1)."""
    (strength, angle), (own_strength, own_angle) = source, fused
    larger = np.maximum(strength, own_strength)
    ratio = np.minimum(strength, own_strength) / np.where(larger > 0, larger, 1.0)
    if published:
        ratio = np.where(strength == own_strength, own_strength, ratio)
    aligned = 1 - np.abs(angle - own_angle) / (np.pi / 2)
    return 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (aligned - 0.8)))


def qabf(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray, published: bool = False) -> float:
    """Edge information carried over from both sources (Xydeas and Petrovic, 2000), weighted by source edge strength.

    Args:
        fused: (H, W) uint8.
        infrared: as ``fused``.
        visible: as ``fused``.
        published: where source and fused edges are equally strong, use the strength itself instead of their ratio,
            1, as the toolkit does.

    Returns:
        float: in [0, 0.9748] for identical pictures at most; ``nan`` where both sources are black.
    """
    own, first, second = _gradient(fused), _gradient(infrared), _gradient(visible)
    weight = float((first[0] + second[0]).sum())
    kept = sum(float((_preserved(source, own, published) * source[0]).sum()) for source in (first, second))
    return kept / weight if weight > 0 else math.nan


def ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray, data_range: float = 255.0) -> float:
    """Mean of the SSIM with both sources: 11x11 Gaussian window, edge pixels repeated, mean over all pixels.

    Raises:
        DataError: a side is below 11 pixels.
    """
    own = fused.astype(np.float64)
    return 0.5 * sum(float(ssim_map(own, x.astype(np.float64), data_range).mean()) for x in (infrared, visible))


def ssim_toolkit(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """:func:`ssim` as the toolkit computes it: pictures in [0, 255] with the constants of data range 1.

    MATLAB's ``ssim`` assumes range 1 for floating-point pictures, so flat areas score far lower.
    """
    return ssim(fused, infrared, visible, data_range=1.0)


def ms_ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Mean of the five-scale MS-SSIM (Wang et al., 2003) with both sources; ``nan`` where a side is below 161."""
    own = fused.astype(np.float64)
    return 0.5 * sum(ms_ssim_planes(own, x.astype(np.float64)) for x in (infrared, visible))


def _sums(image: np.ndarray) -> np.ndarray:
    """Sums over full 11x11 windows; exact for grey levels and their halvings, so flat windows have variance 0."""
    return smooth(image, np.ones(SSIM_WINDOW), 'valid')


def _mef_scale(sources: list[np.ndarray], fused: np.ndarray) -> float:
    count = SSIM_WINDOW**2
    taps = gaussian_taps(SSIM_WINDOW, SSIM_SIGMA)
    eps = np.finfo(np.float64).eps
    totals = [_sums(x) for x in sources]

    def scatter(k: int, m: int) -> np.ndarray:
        """Sum of products of deviations from the flat window mean."""
        return (count * _sums(sources[k] * sources[m]) - totals[k] * totals[m]) / count

    aa, bb, ab = scatter(0, 0), scatter(1, 1), scatter(0, 1)
    norms = [np.sqrt(np.maximum(x, 0)) for x in (aa, bb)]
    # How far both sources have the same structure decides how strongly the stronger one dominates.
    consistency = (np.sqrt(np.maximum(aa + bb + 2 * ab, 0)) + eps) / (norms[0] + norms[1] + eps)
    power = np.minimum(np.tan(np.pi / 2 * np.minimum(consistency, 1 - eps)), 10)
    contrast = [x + 0.001 for x in norms]
    weights = [(x / SSIM_WINDOW)**power + eps for x in contrast]
    share = [w / (weights[0] + weights[1]) / c for w, c in zip(weights, contrast, strict=True)]
    length = np.sqrt(np.maximum(share[0]**2 * aa + share[1]**2 * bb + 2 * share[0] * share[1] * ab, 0))
    gain = np.where(length > 0, np.maximum(*contrast) / np.where(length > 0, length, 1.0), 1.0)
    share = [gain * s for s in share]

    means = [smooth(x, taps, 'valid') for x in (*sources, fused)]

    def covariance(x: np.ndarray, y: np.ndarray, mean_x: np.ndarray, mean_y: np.ndarray) -> np.ndarray:
        return smooth(x * y, taps, 'valid') - mean_x * mean_y

    (a, b), (mean_a, mean_b, mean_f) = sources, means
    wanted = (share[0]**2 * covariance(a, a, mean_a, mean_a) + share[1]**2 * covariance(b, b, mean_b, mean_b) +
              2 * share[0] * share[1] * covariance(a, b, mean_a, mean_b))
    own = covariance(fused, fused, mean_f, mean_f)
    shared = share[0] * covariance(a, fused, mean_a, mean_f) + share[1] * covariance(b, fused, mean_b, mean_f)
    constant = (0.03 * 255)**2
    return float(((2 * shared + constant) / (wanted + own + constant)).mean())


def _halve(image: np.ndarray) -> np.ndarray:
    """Means of 2x2 blocks; an odd last row or column is repeated."""
    image = np.pad(image, [(0, n % 2) for n in image.shape], mode='edge')
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def ms_ssim_toolkit(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """The toolkit's MS-SSIM: the multi-exposure fusion index of Ma, Zeng and Wang (2015) on three scales.

    In every 11x11 window the wanted structure is a weighted mean of the sources' structures with the contrast of the
    stronger one; the fused window is compared with it by the contrast-structure term of SSIM.  Scale weights 0.0448,
    0.2856, 0.3001, normalised.

    Returns:
        float: ``nan`` where a side is below 44 pixels.
    """
    if min(fused.shape) < MEF_LEAST:
        return math.nan
    own, sources = fused.astype(np.float64), [x.astype(np.float64) for x in (infrared, visible)]
    weights = np.array([0.0448, 0.2856, 0.3001])
    scores = []
    for scale in range(3):
        if scale:
            own, sources = _halve(own), [_halve(x) for x in sources]
        scores.append(max(_mef_scale(sources, own), 0.0))
    return float(np.prod(np.array(scores)**(weights / weights.sum())))
