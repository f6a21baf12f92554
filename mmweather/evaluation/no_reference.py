"""Quality without a reference: naturalness and tint."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from mmweather.errors import ConfigError
from mmweather.registry import METRICS

from .functional import colour
from .functional.arrays import check_image, luma
from .per_image import PerImageMetric, as_image, clipped

NIQE_BLOCK = 96


def niqe(image: np.ndarray) -> float:
    """NIQE (Mittal et al., 2013) by mmagic, with the parameters of the official code; low is natural.

    Args:
        image: (H, W, 3), RGB, uint8 or float in [0, 255]; measured on studio-swing Y of BT.601, rounded.

    Returns:
        float: ``nan`` where fewer than two blocks of 96x96 pixels fit, or the picture is too flat for the model.

    Raises:
        DataError: the picture is malformed.
    """
    from mmagic.evaluation.metrics.niqe import niqe as by_mmagic
    plane = luma(check_image(image, 'picture'))
    if (plane.shape[0] // NIQE_BLOCK) * (plane.shape[1] // NIQE_BLOCK) < 2:
        return math.nan
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        warnings.simplefilter('ignore')  # flat blocks have no statistics and are left out
        try:
            return float(by_mmagic(plane, 0, input_order='HW'))
        except np.linalg.LinAlgError:
            return math.nan


NO_REFERENCE_METRICS: dict[str, tuple[Callable[[np.ndarray], float], str]] = {
    'niqe': (niqe, 'Y as psnr_y, rounded, blocks of 96x96, official parameters, by mmagic; nan below two blocks'),
    'colour_cast': (colour.colour_cast, 'length of the mean (a*, b*) in CIELAB'),
    'cast_factor': (colour.cast_factor, 'colour_cast over the mean deviation of (a*, b*); nan for one colour'),
}


@METRICS.register_module()
class NoReferenceMetrics(PerImageMetric):
    """Naturalness and tint of restored pictures, where there is no reference.

    Result keys are the metric names, and with ``compare_input`` also ``<name>_input``, of the degraded picture.

    Args:
        metrics: names out of 'niqe', 'colour_cast', 'cast_factor', or one of them.
        compare_input: measure ``sample['input']`` too.
        csv_path: write the values of every picture to this file at the end (replaced atomically).
        prediction: which of the model's outputs to measure.
        collect_device: where results of several processes are gathered, 'cpu' or 'gpu'.
        prefix: put before the result keys, with a slash.

    Raises:
        ConfigError: a metric is unknown.
    """

    def __init__(self,
                 metrics: str | Sequence[str] = tuple(NO_REFERENCE_METRICS),
                 compare_input: bool = True,
                 csv_path: str | None = None,
                 prediction: str = 'pred_img',
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(csv_path, collect_device, prefix, prediction)
        self.metrics = (metrics, ) if isinstance(metrics, str) else tuple(metrics)
        unknown = [m for m in self.metrics if m not in NO_REFERENCE_METRICS]
        if unknown or not self.metrics:
            raise ConfigError(f"NoReferenceMetrics: metrics {unknown or 'empty'}; choose out of "
                              f"{', '.join(NO_REFERENCE_METRICS)}")
        self.compare_input = compare_input

    @property
    def protocol(self) -> str:
        """Range, rounding and averaging, one line a metric."""
        shared = '  all: RGB in [0, 255], rounded to 8 bits, no reference, mean of the values per picture'
        return '\n'.join([shared, *(f'  {m}: {NO_REFERENCE_METRICS[m][1]}' for m in self.metrics)])

    def values_of(self, sample: dict, name: str) -> dict[str, float]:
        pictures = {'': self.predicted(sample, name)}
        if self.compare_input:
            pictures['_input'] = as_image(self.need(sample, 'input', name), 'input', name)
        return {
            f'{metric}{suffix}': NO_REFERENCE_METRICS[metric][0](clipped(picture, True))
            for metric in self.metrics for suffix, picture in pictures.items()
        }
