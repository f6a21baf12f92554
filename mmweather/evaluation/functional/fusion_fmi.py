"""Feature mutual information (FMI) of a fused picture with its two sources.

Haghighat and Razian, "Fast-FMI: non-reference image fusion metric", AICT 2014.  A feature is taken of each picture;
in every 3x3 window both features are scaled to [0, 1] and read as two probability densities over the nine
positions (column by column).  Their joint density is modelled as a mixture of the independent density and the
Frechet bound (upper for positive, lower for negative correlation) whose weight is the correlation of the densities
over the correlation of the bound.  FMI is the mean of 2 I(A, F) / (H(A) + H(F)) over windows and both sources.

The nine-by-nine joint density is never built: the Frechet bound has mass on a staircase of at most 17 cells,
and the entropy of the rest follows from the marginal entropies.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mmweather.errors import ConfigError, DataError

Feature = Literal['edge', 'dct', 'wavelet', 'raw']
_CELLS = 9
_CHUNK = 8192
# Half of the symmetric low-pass filter `dmey` (the FIR approximation of the Meyer wavelet that MATLAB and PyWavelets
# share), from its centre outwards; the other half is its mirror image.
_DMEY_HALF = (
    0.744585592319, 0.444593002758, -0.0350875556563, -0.132845200436, 0.0306550919608, 0.0637390243228,
    -0.0243487459061, -0.0321307939902, 0.0174234341037, 0.0152700151309, -0.0110614963925, -0.0063877183185,
    0.00604581409732, 0.00220253410091, -0.00270467212464, -0.000601150234352, 6.55430593058e-05,
    -1.63126997346e-05, 3.20544191334e-06, 7.3675728859e-07, -1.4895492165e-06, 1.13079470179e-06,
    -5.50634056525e-07, 1.17830044977e-07, 8.20068065039e-08, -1.08665165367e-07, 6.06697574135e-08,
    -1.07988195396e-08, -1.1119449526e-08, 8.5194596368e-09, -1.00999995694e-12,
)


def sobel_edges(image: np.ndarray) -> np.ndarray:
    """Thinned Sobel edges with an automatic threshold, as MATLAB's ``edge(image)`` draws them.

    Sobel kernels over 8, edge pixels repeated; a pixel is an edge where the squared gradient exceeds four times its
    mean over the picture and is a maximum along the axis (x or y) with the stronger derivative.  Beyond the picture's
    border no neighbour competes.

    Args:
        image: (H, W) float64.

    Returns:
        np.ndarray: (H, W) bool.
    """
    from scipy.ndimage import correlate1d
    along, across = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0]) / 8

    def derivative(axis: int) -> np.ndarray:
        return np.abs(correlate1d(correlate1d(image, along, axis, mode='nearest'), across, 1 - axis, mode='nearest'))

    dy, dx = derivative(0), derivative(1)
    power = dx**2 + dy**2
    padded = np.pad(power, 1, constant_values=-1.0)  # below every value: a missing neighbour never wins
    ridge_x = (padded[1:-1, :-2] <= power) & (power > padded[1:-1, 2:])
    ridge_y = (padded[:-2, 1:-1] <= power) & (power > padded[2:, 1:-1])
    slack = 100 * np.finfo(np.float64).eps
    return (power > 4 * power.mean()) & (((dx >= dy - slack) & ridge_x) | ((dy >= dx - slack) & ridge_y))


def _analyse(image: np.ndarray, axis: int, taps: np.ndarray, shift: int) -> np.ndarray:
    """Filter ``axis`` with half-sample mirrored borders; output k is centred on sample 2 k - 30 + ``shift``."""
    from scipy.ndimage import convolve1d
    count = (image.shape[axis] + 61) // 2
    pad = [(0, 0), (0, 0)]
    pad[axis] = (60, 62)  # 30 samples for the outermost outputs, 30 more for their filters
    padded = np.pad(image, pad, mode='symmetric')
    filtered = convolve1d(padded, taps, axis=axis, mode='constant')
    return np.take(filtered, 30 + np.arange(count) * 2 + shift, axis=axis)


def dmey_transform(image: np.ndarray) -> np.ndarray:
    """One level of the wavelet transform with the ``dmey`` filters, mirrored borders, the four bands in one array.

    Args:
        image: (H, W) float64.

    Returns:
        np.ndarray: ``[[approximation, horizontal detail], [vertical detail, diagonal detail]]``; each band is
        floor((n + 61) / 2) long per axis.
    """
    low = np.array(_DMEY_HALF[:0:-1] + _DMEY_HALF)
    high = -low * (-1.0)**np.arange(-30, 31)
    smooth, detail = _analyse(image, 1, low, 0), _analyse(image, 1, high, 1)
    return np.block([[_analyse(smooth, 0, low, 0), _analyse(smooth, 0, high, 1)],
                     [_analyse(detail, 0, low, 0), _analyse(detail, 0, high, 1)]])


def _unit_range(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return np.ones_like(values) if low == high else (values - low) / (high - low)


def features(image: np.ndarray, feature: Feature) -> np.ndarray:
    """The feature that FMI compares, (H', W') float64, from an (H, W) float64 picture in [0, 255]."""
    if feature == 'edge':
        return sobel_edges(image).astype(np.float64)
    if feature == 'dct':
        from scipy.fft import dctn
        return dctn(image, norm='ortho')
    if feature == 'wavelet':
        return _unit_range(dmey_transform(image))
    if feature == 'raw':
        return image
    raise ConfigError(f"FMI feature '{feature}' is unknown; use edge, dct, wavelet or raw")


def _windows(values: np.ndarray) -> np.ndarray:
    """All 3x3 windows, (9, N): positions column by column, windows row by row."""
    height, width = values.shape[0] - 2, values.shape[1] - 2
    return np.stack([values[r:r + height, c:c + width].reshape(-1) for c in range(3) for r in range(3)])


def _plogp(values: np.ndarray) -> np.ndarray:
    """-x log2|x|, with 0 at 0 (the mixture can leave [0, 1], then the real part of the logarithm counts)."""
    return -values * np.log2(np.maximum(np.abs(values), 1e-300))


def _scaled(windows: np.ndarray) -> np.ndarray:
    """Windows (9, N) scaled to [0, 1]; constant ones become all ones."""
    low, high = windows.min(0), windows.max(0)
    flat = low == high
    return np.where(flat, 1.0, (windows - low) / np.where(flat, 1.0, high - low))


def _densities(windows: np.ndarray) -> np.ndarray:
    scaled = _scaled(windows)
    return scaled / scaled.sum(0)


class _Side:
    """What the mutual information needs of one side: densities (9, N) and their statistics (N,)."""

    def __init__(self, windows: np.ndarray) -> None:
        self.p = _densities(windows)
        self.entropy = _plogp(self.p).sum(0)
        self.centred = self.p - self.p.mean(0)
        self.energy = (self.centred**2).sum(0)
        position = np.arange(1.0, _CELLS + 1)[:, None]
        self.mean = (position * self.p).sum(0)
        self.variance = (position**2 * self.p).sum(0) - self.mean**2


def _padded(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Densities and their cumulative sums, flat, with a tenth row that no step of :func:`_staircase` can pass."""
    cumulative = np.cumsum(p, 0)
    cumulative[-1] = 1.0
    count = p.shape[1]
    return (np.concatenate([p, np.zeros((1, count))]).ravel(), np.concatenate([cumulative, np.full((1, count),
                                                                                                  2.0)]).ravel())


def _staircase(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The comonotone coupling of two densities (9, N): mass of its 17 cells, p q there, and E[(i + 1) (j + 1)].

    Both cumulative sums are merged: each step takes the smaller one and moves on in that density.
    """
    count = p.shape[1]
    (p, cdf_p), (q, cdf_q) = _padded(p), _padded(q)
    at_p, at_q = np.arange(count), np.arange(count)
    row, column = np.ones(count), np.ones(count)
    done, moment = np.zeros(count), np.zeros(count)
    mass, product = np.empty((2 * _CELLS - 1, count)), np.empty((2 * _CELLS - 1, count))
    for step in range(2 * _CELLS - 1):
        a, b = cdf_p.take(at_p), cdf_q.take(at_q)
        reached = np.minimum(a, b)
        mass[step] = reached - done
        product[step] = p.take(at_p) * q.take(at_q)
        moment += mass[step] * row * column
        done = reached
        move_p = a <= b
        at_p += count * move_p
        at_q += count * ~move_p
        row += move_p
        column += ~move_p
    return mass, product, moment


def _information(first: _Side, second: _Side) -> np.ndarray:
    """Normalised mutual information of the model, (N,)."""
    dot, norm = (first.centred * second.centred).sum(0), np.sqrt(first.energy * second.energy)
    # A constant window leaves rounding noise instead of zeros.
    c = np.where(norm > 1e-15, dot / np.maximum(norm, 1e-15), 0.0)
    c[np.abs(dot) < 1e-16] = 0.0
    negative = c < 0
    # The lower Frechet bound is the upper one with one density reversed.
    mass, product, moment = _staircase(first.p, np.where(negative, second.p[::-1], second.p))
    moment = np.where(negative, (_CELLS + 1) * first.mean - moment, moment)
    covariance = moment - first.mean * second.mean
    usable = (c != 0) & (first.variance > 1e-12) & (second.variance > 1e-12) & (np.abs(covariance) > 1e-12)
    spread = np.sqrt(np.maximum(first.variance * second.variance, 0.0))
    weight = np.where(usable, c * spread / np.where(usable, covariance, 1.0), 0.0)
    # Entropy of the scaled independent density over all 81 cells, corrected where the bound has mass.
    marginal = first.entropy + second.entropy
    independent = (1 - weight) * product
    joint = _plogp(1 - weight) + (1 - weight) * marginal
    joint += (_plogp(weight * mass + independent) - _plogp(independent)).sum(0)
    return np.where(marginal > 0, 2 * (marginal - joint) / np.where(marginal > 0, marginal, 1.0), 0.0)


def _window_fmi(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """FMI of each pair of windows, (9, N) and (9, N) -> (N,); 1 where both are equal."""
    value = _information(_Side(first), _Side(second))
    value[(first == second).all(0)] = 1.0
    return value


def _binary_mean(first: np.ndarray, second: np.ndarray) -> float:
    """Mean FMI of windows of zeros and ones: of the 512 x 512 pairs only those that occur are computed, once."""
    bits = np.arange(_CELLS)[:, None]
    code = (first.astype(np.int64) << bits).sum(0) * 512 + (second.astype(np.int64) << bits).sum(0)
    counts = np.bincount(code, minlength=512 * 512)
    pairs = np.flatnonzero(counts)
    values = _window_fmi((pairs // 512 >> bits & 1).astype(np.float64), (pairs >> bits & 1).astype(np.float64))
    return float((values * counts[pairs]).sum() / code.size)


def _mean_fmi(first: np.ndarray, second: np.ndarray) -> float:
    """Mean FMI of windows (9, N) and (9, N), in chunks that stay in the processor's cache."""
    parts = [_window_fmi(first[:, s:s + _CHUNK], second[:, s:s + _CHUNK]) for s in range(0, first.shape[1], _CHUNK)]
    return float(np.concatenate(parts).mean())


def fmi(fused: np.ndarray,
        infrared: np.ndarray,
        visible: np.ndarray,
        feature: Feature = 'edge',
        published: bool = False) -> float:
    """Feature mutual information of ``fused`` with both sources, mean of the two, in about [0, 1].

    Args:
        fused: (H, W) uint8 or float in [0, 255].
        infrared: as ``fused``.
        visible: as ``fused``.
        feature: ``'edge'`` (the toolkit's FMI_pixel), ``'dct'``, ``'wavelet'``, or ``'raw'`` grey values.
        published: compare the visible window with the fused window that the comparison with the infrared has
            already scaled to [0, 1], as the toolkit does; an edge-free fused window then never equals an edge-free
            visible one.

    Raises:
        DataError: the picture is smaller than 3x3.
        ConfigError: ``feature`` is unknown.
    """
    if min(fused.shape) < 3:
        raise DataError(f'FMI needs at least 3x3 pixels, got {fused.shape[0]}x{fused.shape[1]}')
    own = _windows(features(np.asarray(fused, np.float64), feature))
    mean = _binary_mean if feature == 'edge' else _mean_fmi
    first, second = (_windows(features(np.asarray(x, np.float64), feature)) for x in (infrared, visible))
    later = np.where((first == own).all(0), own, _scaled(own)) if published else own
    return 0.5 * (mean(first, own) + mean(second, later))
