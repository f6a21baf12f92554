"""Metrics for MMEngine's evaluator: fidelity of restored pictures, and quality of fused ones.

Both read the dicts that the evaluator makes of data samples: ``sample['output']['pred_img']`` and references such
as ``sample['gt_img']``, CHW RGB tensors in [0, 255], uint8 or float.  Neither mmagic nor mmdet is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmweather.errors import ConfigError
from mmweather.registry import METRICS

from .functional import colour, restoration
from .functional.fusion import FUSION_METRICS, fusion_metrics, fusion_names
from .per_image import PerImageMetric, as_image, clipped

RESTORATION_METRICS: dict[str, tuple[Callable[..., float], str]] = {
    'psnr_y': (restoration.psnr_y, 'dB; BT.601 Y in [16, 235], unrounded, peak 255'),
    'psnr_rgb': (restoration.psnr_rgb, 'dB; all pixels and channels, peak 255'),
    'ssim_y': (restoration.ssim_y, 'Y as psnr_y, 11x11 Gaussian sigma 1.5, edge pixels repeated, range 255'),
    'ssim_rgb3d': (restoration.ssim_rgb3d, 'RGB, 11x11x11 Gaussian over height, width and colour, edges repeated'),
    'ms_ssim': (restoration.ms_ssim, 'RGB, pytorch_msssim, 5 scales, range 255; nan below 161 px'),
    'ciede2000': (colour.ciede2000, 'CIELAB (sRGB, D65, 2 degrees) by scikit-image, mean over pixels'),
}


@METRICS.register_module()
class RestorationMetrics(PerImageMetric):
    """PSNR, SSIM, MS-SSIM and CIEDE2000 of restored pictures, beside those of the input.

    Result keys are the metric names, and with ``compare_input`` also ``<name>_input`` (the degraded picture against
    the same reference).  Values are computed per picture and averaged over pictures; values of every picture stay in
    ``per_image`` of the main process.

    Args:
        metrics: names out of 'psnr_y', 'psnr_rgb', 'ssim_y', 'ssim_rgb3d', 'ms_ssim', 'ciede2000', or one of them.
        crop_border: pixels cut off each side before measuring.
        compare_input: measure ``sample['input']`` too.
        round: round the pictures to whole grey levels first, as storing them as 8 bits does.
        reference: key of the reference in the sample.
        csv_path: write the values of every picture to this file at the end (replaced atomically).
        prediction: which of the model's outputs to measure.
        collect_device: where results of several processes are gathered, 'cpu' or 'gpu'.
        prefix: put before the result keys, with a slash.

    Raises:
        ConfigError: a metric is unknown or ``crop_border`` is negative.
    """

    def __init__(self,
                 metrics: str | Sequence[str] = ('psnr_y', 'psnr_rgb', 'ssim_y', 'ssim_rgb3d', 'ms_ssim'),
                 crop_border: int = 0,
                 compare_input: bool = True,
                 round: bool = True,
                 reference: str = 'gt_img',
                 csv_path: str | None = None,
                 prediction: str = 'pred_img',
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(csv_path, collect_device, prefix, prediction)
        self.metrics = (metrics, ) if isinstance(metrics, str) else tuple(metrics)
        unknown = [m for m in self.metrics if m not in RESTORATION_METRICS]
        if unknown or not self.metrics:
            raise ConfigError(f"RestorationMetrics: metrics {unknown or 'empty'}; choose out of "
                              f"{', '.join(RESTORATION_METRICS)}")
        if not isinstance(crop_border, int) or crop_border < 0:
            raise ConfigError(f'RestorationMetrics: crop_border is {crop_border!r}; it must be a whole number >= 0')
        self.crop_border = crop_border
        self.compare_input = compare_input
        self.round = round
        self.reference = reference

    @property
    def protocol(self) -> str:
        """Colour space, window, border, range, rounding and averaging, one line a metric."""
        shared = (f'  all: RGB in [0, 255], {"rounded to 8 bits" if self.round else "not rounded"}, border of '
                  f"{self.crop_border} px cropped, against '{self.reference}', mean of the values per picture")
        return '\n'.join([shared, *(f'  {m}: {RESTORATION_METRICS[m][1]}' for m in self.metrics)])

    def values_of(self, sample: dict, name: str) -> dict[str, float]:
        target = clipped(as_image(self.need(sample, self.reference, name), self.reference, name), self.round)
        pictures = {'': self.predicted(sample, name)}
        if self.compare_input:
            pictures['_input'] = as_image(self.need(sample, 'input', name), 'input', name)
        return {
            f'{metric}{suffix}': RESTORATION_METRICS[metric][0](clipped(picture, self.round), target,
                                                               self.crop_border)
            for metric in self.metrics for suffix, picture in pictures.items()
        }


@METRICS.register_module()
class FusionMetrics(PerImageMetric):
    """Reference-free quality of a fused picture beside its infrared and visible sources, on 8-bit grey pictures.

    Result keys are ``fusion/<name>``, so both metrics of this module fit into one evaluator.

    Args:
        metrics: 'all', 'table2' (the eleven of NiteDR's Table II), or names out of
            :data:`mmweather.evaluation.functional.fusion.FUSION_METRICS`.
        visible: key of the visible source in the sample: 'gt_img' (clean), 'input' (degraded), ...
        infrared: key of the infrared source.
        published: reproduce the defects of the published toolkit (see
            :func:`~mmweather.evaluation.functional.fusion.fusion_metrics`).
        csv_path: write the values of every picture to this file at the end (replaced atomically).
        prediction: which of the model's outputs to measure.
        collect_device: where results of several processes are gathered, 'cpu' or 'gpu'.
        prefix: put before the result keys, with a slash; 'fusion' by default.

    Raises:
        ConfigError: a metric is unknown.
    """

    default_prefix = 'fusion'

    def __init__(self,
                 metrics: str | Sequence[str] = 'all',
                 visible: str = 'gt_img',
                 infrared: str = 'ir',
                 published: bool = False,
                 csv_path: str | None = None,
                 prediction: str = 'pred_img',
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(csv_path, collect_device, prefix, prediction)
        self.metrics = fusion_names(metrics)
        self.visible, self.infrared, self.published = visible, infrared, published

    @property
    def protocol(self) -> str:
        """Sources, grey conversion, rounding and averaging, one line a metric."""
        shared = (f"  all: 8-bit grey (0.2989 R + 0.5870 G + 0.1140 B, rounded), sources '{self.visible}' and "
                  f"'{self.infrared}', toolkit defects {'kept' if self.published else 'fixed'}, mean of the values "
                  'per picture')
        return '\n'.join([shared, *(f'  {m}: {FUSION_METRICS[m].protocol}' for m in self.metrics)])

    def values_of(self, sample: dict, name: str) -> dict[str, float]:
        pictures = [clipped(self.predicted(sample, name), True)]
        for key in (self.infrared, self.visible):
            pictures.append(clipped(as_image(self.need(sample, key, name), key, name), True))
        return fusion_metrics(*pictures, metrics=self.metrics, published=self.published)
