"""The fusion metrics by name, and all of them for one set of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmweather.errors import ConfigError

from . import fusion_statistics as statistics
from . import fusion_structure as structure
from .arrays import check_pair, gray
from .fusion_fmi import fmi


class FusionMetric(NamedTuple):
    """A fusion metric: ``compute(fused, infrared, visible, published)`` of (H, W) uint8 and a line of protocol."""

    compute: Callable[[np.ndarray, np.ndarray, np.ndarray, bool], float]
    protocol: str


FUSION_METRICS: dict[str, FusionMetric] = {
    'psnr_toolkit': FusionMetric(lambda f, i, v, p: statistics.psnr_toolkit(f, i, v),
                                 "dB; peak 255 over the error of pictures in [0, 1]: 48.13 dB above 'psnr'"),
    'ssim_toolkit': FusionMetric(lambda f, i, v, p: structure.ssim_toolkit(f, i, v),
                                 'mean of both sources; constants of data range 1 on pictures in [0, 255]'),
    'ms_ssim_toolkit': FusionMetric(lambda f, i, v, p: structure.ms_ssim_toolkit(f, i, v),
                                    'multi-exposure fusion index, 3 scales; nan below 44 px'),
    'mi': FusionMetric(lambda f, i, v, p: statistics.mi(f, i, v, p), 'bits, sum of both sources, 256 bins'),
    'vif': FusionMetric(lambda f, i, v, p: statistics.vif(f, i, v),
                        'sum of both sources, pixel domain, 4 scales; nan below 41 px'),
    'cc': FusionMetric(lambda f, i, v, p: statistics.cc(f, i, v), 'mean of both sources'),
    'fmi_pixel': FusionMetric(lambda f, i, v, p: fmi(f, i, v, 'edge', p), '3x3 windows of thinned Sobel edges'),
    'fmi_dct': FusionMetric(lambda f, i, v, p: fmi(f, i, v, 'dct', p), '3x3 windows of the DCT of the whole picture'),
    'fmi_w': FusionMetric(lambda f, i, v, p: fmi(f, i, v, 'wavelet', p), '3x3 windows of one dmey wavelet level'),
    'mse': FusionMetric(lambda f, i, v, p: statistics.mse(f, i, v), 'pictures in [0, 1], mean of both sources'),
    'qabf': FusionMetric(lambda f, i, v, p: structure.qabf(f, i, v, p), 'Sobel edges, zeros beyond the border'),
    'psnr': FusionMetric(lambda f, i, v, p: statistics.psnr(f, i, v), "dB; 10 log10(1 / 'mse')"),
    'ssim': FusionMetric(lambda f, i, v, p: structure.ssim(f, i, v), 'mean of both sources, data range 255'),
    'ms_ssim': FusionMetric(lambda f, i, v, p: structure.ms_ssim(f, i, v),
                            'mean of both sources, pytorch_msssim, 5 scales; nan below 161 px'),
    'fmi_raw': FusionMetric(lambda f, i, v, p: fmi(f, i, v, 'raw', p), '3x3 windows of grey levels'),
    'en': FusionMetric(lambda f, i, v, p: statistics.en(f), 'bits, 256 bins'),
    'sd': FusionMetric(lambda f, i, v, p: statistics.sd(f), 'grey levels'),
    'sf': FusionMetric(lambda f, i, v, p: statistics.sf(f), 'grey levels'),
    'ag': FusionMetric(lambda f, i, v, p: statistics.ag(f), 'grey levels'),
    'scd': FusionMetric(lambda f, i, v, p: statistics.scd(f, i, v), 'in [-2, 2]'),
}
"""Every fusion metric; the first eleven are those of NiteDR's Table II, in its order."""

TABLE_II = tuple(FUSION_METRICS)[:11]


def fusion_names(metrics: str | Sequence[str]) -> tuple[str, ...]:
    """``'all'``, ``'table2'`` (those of NiteDR's Table II), one name, or several, as a tuple of names.

    Raises:
        ConfigError: a name is unknown.
    """
    if metrics == 'all':
        return tuple(FUSION_METRICS)
    if metrics == 'table2':
        return TABLE_II
    names = (metrics, ) if isinstance(metrics, str) else tuple(metrics)
    for name in names:
        if name not in FUSION_METRICS:
            raise ConfigError(f"fusion metric '{name}' is unknown; use 'all', 'table2' or some of "
                              f"{', '.join(FUSION_METRICS)}")
    if not names:
        raise ConfigError("metrics is empty; use 'all', 'table2' or a list of names")
    return names


def fusion_metrics(fused: np.ndarray,
                   infrared: np.ndarray,
                   visible: np.ndarray,
                   metrics: str | Sequence[str] = 'all',
                   published: bool = False) -> dict[str, float]:
    """Fusion metrics of one set of registered pictures, computed on their 8-bit grey versions.

    Args:
        fused: (H, W) or (H, W, 3) RGB, uint8 or float in [0, 255].
        infrared: as ``fused``.
        visible: as ``fused``.
        metrics: ``'all'``, ``'table2'`` or names out of :data:`FUSION_METRICS`.
        published: reproduce three defects of the toolkit: grey levels 254 and 255 count as one in MI, equally strong
            edges in Qabf, and the rescaled fused window in FMI.

    Returns:
        dict: name -> value; ``nan`` where a metric is not defined (too small a picture, a constant one).

    Raises:
        DataError: a picture is malformed, sizes differ, or a side is below 11 (SSIM) or 3 pixels (FMI).
        ConfigError: a name is unknown.
    """
    names = fusion_names(metrics)
    pictures = [gray(x, name) for x, name in ((fused, 'fused'), (infrared, 'infrared'), (visible, 'visible'))]
    check_pair(pictures[0], pictures[1], ('fused', 'infrared'))
    check_pair(pictures[0], pictures[2], ('fused', 'visible'))
    return {name: FUSION_METRICS[name].compute(*pictures, published) for name in names}
