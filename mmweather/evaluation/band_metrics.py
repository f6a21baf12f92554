"""Fidelity of cloud-free images with any number of bands, for MMEngine's evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmweather.errors import ConfigError
from mmweather.registry import METRICS

from .functional import bands
from .per_image import PerImageMetric, as_image

BAND_METRICS: dict[str, tuple[Callable[..., float], str]] = {
    'mae': (bands.mae, 'mean absolute error'),
    'mse': (bands.mse, 'mean squared error'),
    'rmse': (bands.rmse, 'root of the mean squared error of all bands'),
    'brmse': (bands.band_rmse, "mean of the bands' root mean squared errors"),
    'psnr': (bands.psnr, 'dB; all bands, peak 1; 100 for equal images'),
    'ssim': (bands.ssim, 'per band, 11x11 Gaussian sigma 1.5, zeros beyond the border, mean over pixels and bands'),
    'sam': (bands.spectral_angle, 'degrees; angle between the spectra, mean over pixels'),
}


@METRICS.register_module()
class BandMetrics(PerImageMetric):
    """Errors, PSNR, SSIM and spectral angle by the protocol of ACA-CRNet's scripts, beside those of the cloudy image.

    Images are taken as [0, 1] and not rounded; every figure is that of all bands of one image, averaged over images.
    Result keys are the metric names, and with ``compare_input`` also ``<name>_input`` (the cloudy image against the
    same reference).  A spectral angle that is not defined is left out of its mean and counted as ``sam_skipped``.

    Args:
        metrics: names out of :data:`BAND_METRICS`, or one of them.
        compare_input: measure ``sample['input']`` too.
        published_ssim: the published window of SSIM, half a pixel off its centre (at most 0.002 an image).
        published_sam: leave an image with a black pixel out of the mean of the spectral angle as the published scripts
            do; else only the pixel is left out.
        reference: key of the reference in the sample.
        csv_path: write the values of every image to this file at the end (replaced atomically).
        prediction: which of the model's outputs to measure.
        collect_device: where results of several processes are gathered, 'cpu' or 'gpu'.
        prefix: put before the result keys, with a slash.

    Raises:
        ConfigError: a metric is unknown.
    """

    def __init__(self,
                 metrics: str | Sequence[str] = ('mae', 'rmse', 'psnr', 'ssim', 'sam'),
                 compare_input: bool = True,
                 published_ssim: bool = True,
                 published_sam: bool = True,
                 reference: str = 'gt_img',
                 csv_path: str | None = None,
                 prediction: str = 'pred_img',
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(csv_path, collect_device, prefix, prediction)
        self.metrics = (metrics, ) if isinstance(metrics, str) else tuple(metrics)
        unknown = [name for name in self.metrics if name not in BAND_METRICS]
        if unknown or not self.metrics:
            raise ConfigError(f"BandMetrics: metrics {unknown or 'empty'}; choose out of {', '.join(BAND_METRICS)}")
        self.compare_input = compare_input
        self.options = {'ssim': {'published': published_ssim}, 'sam': {'published': published_sam}}
        self.reference = reference

    @property
    def protocol(self) -> str:
        """Range, averaging, and what is special, one line a metric; then how the data set was split, if it says."""
        notes = {
            'ssim': 'published window, centred at 5.5' if self.options['ssim']['published'] else 'window centred',
            'sam': 'images with a black pixel left out' if self.options['sam']['published'] else
                   'black pixels left out',
        }
        lines = [f"  all: bands in [0, 1], clipped, not rounded, against '{self.reference}', mean of the values per "
                 'image']
        lines += [f'  {name}: {BAND_METRICS[name][1]}' + (f'; {notes[name]}' if name in notes else '')
                  for name in self.metrics]
        split = (self.dataset_meta or {}).get('split')
        return '\n'.join(lines + [f'  split: {split}'] if split else lines)

    def values_of(self, sample: dict, name: str) -> dict[str, float]:
        target = _unit(as_image(self.need(sample, self.reference, name), self.reference, name, None))
        images = {'': _unit(self.predicted(sample, name, None))}
        if self.compare_input:
            images['_input'] = _unit(as_image(self.need(sample, 'input', name), 'input', name, None))
        return {
            f'{metric}{suffix}': BAND_METRICS[metric][0](image, target, **self.options.get(metric, {}))
            for metric in self.metrics for suffix, image in images.items()
        }


def _unit(image: Any) -> np.ndarray:
    """[0, 255] to float64 [0, 1], clipped; what is not finite is left for the metric to report."""
    image = np.asarray(image, np.float64) / 255
    return image.clip(0, 1) if np.isfinite(image).all() else image
