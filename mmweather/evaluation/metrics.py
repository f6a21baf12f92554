"""Metrics for MMEngine's evaluator: fidelity of restored pictures, and quality of fused ones.

Both read the dicts that the evaluator makes of data samples: ``sample['output']['pred_img']`` and references such
as ``sample['gt_img']``, CHW RGB tensors in [0, 255], uint8 or float.  Neither mmagic nor mmdet is needed.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmweather.errors import ConfigError, DataError
from mmweather.registry import METRICS
from mmweather.utils.atomic import write_bytes

from .functional import colour, restoration
from .functional.fusion import FUSION_METRICS, fusion_metrics, fusion_names

RESTORATION_METRICS: dict[str, tuple[Callable[..., float], str]] = {
    'psnr_y': (restoration.psnr_y, 'dB; BT.601 Y in [16, 235], unrounded, peak 255'),
    'psnr_rgb': (restoration.psnr_rgb, 'dB; all pixels and channels, peak 255'),
    'ssim_y': (restoration.ssim_y, 'Y as psnr_y, 11x11 Gaussian sigma 1.5, edge pixels repeated, range 255'),
    'ssim_rgb3d': (restoration.ssim_rgb3d, 'RGB, 11x11x11 Gaussian over height, width and colour, edges repeated'),
    'ms_ssim': (restoration.ms_ssim, 'RGB, pytorch_msssim, 5 scales, range 255; nan below 161 px'),
    'ciede2000': (colour.ciede2000, 'CIELAB (sRGB, D65, 2 degrees) by scikit-image, mean over pixels'),
}


def _picture(value: Any, what: str, sample: str, channels: Sequence[int] | None = (1, 3)) -> np.ndarray:
    """A CHW tensor (or array) of a data sample as HWC array, still unrounded; ``channels`` None takes any number."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    value = np.asarray(value)
    if value.ndim == 4 and value.shape[0] == 1:
        value = value[0]
    if value.ndim == 2:
        value = value[None]
    if value.ndim != 3 or (channels is not None and value.shape[0] not in channels):
        wanted = ' with 1 or 3 channels' if channels else ''
        raise DataError(f"'{what}' of sample {sample}: expected a CHW picture{wanted}, got shape {tuple(value.shape)}")
    return np.ascontiguousarray(value.transpose(1, 2, 0))


def _eight_bit_range(image: np.ndarray, rounded: bool) -> np.ndarray:
    """Clip to [0, 255] and, if asked, round to whole numbers, as storing the picture would."""
    if image.dtype == np.uint8 or not np.isfinite(image).all():
        return image  # what is not finite is left for the metric to report
    image = np.clip(image.astype(np.float64), 0, 255)
    return np.rint(image) if rounded else image


class _PerImageMetric(BaseMetric):
    """Values of every picture, gathered over processes, averaged and optionally written to a CSV file."""

    def __init__(self, csv_path: str | None, collect_device: str, prefix: str | None, prediction: str) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.csv_path = csv_path
        self.prediction = prediction
        self.per_image: list[dict[str, Any]] = []
        self._announced = False

    @property
    def protocol(self) -> str:
        """How the numbers are computed, one line a metric."""
        raise NotImplementedError

    def _values(self, sample: dict, name: str) -> dict[str, float]:
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure a batch.

        Args:
            data_batch: unused.
            data_samples: dicts of data samples.

        Raises:
            DataError: a sample lacks a picture, or a picture is malformed; the sample is named.
        """
        for sample in data_samples:
            name = str(sample.get('sample_key') or sample.get('img_path') or f'#{len(self.results)}')
            try:
                values = self._values(sample, name)
            except DataError as error:
                text = str(error)
                raise error if f'sample {name}' in text else DataError(f'sample {name}: {text}') from error
            self.results.append({'name': name, 'values': values})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Mean of every value over pictures, those without a value (nan) left out.

        Args:
            results: ``{'name', 'values'}`` of every picture.

        Returns:
            dict: name -> mean; ``<name>_skipped`` -> number of pictures left out, where there are any.

        Raises:
            DataError: there is no picture.
        """
        if not results:
            raise DataError(f'{type(self).__name__} saw no picture; check the test data loader')
        self.per_image = [{'name': r['name'], **r['values']} for r in results]
        keys = list(results[0]['values'])
        metrics: dict[str, float] = {}
        skipped: dict[str, float] = {}
        for key in keys:
            values = [r['values'][key] for r in results]
            defined = [v for v in values if not math.isnan(v)]
            metrics[key] = float(np.mean(defined)) if defined else math.nan
            if len(defined) < len(values):
                skipped[f'{key}_skipped'] = len(values) - len(defined)
                print_log(f'{key}: {len(values) - len(defined)} of {len(values)} pictures left out, where it is not '
                          'defined (too small or constant)', logger='current', level=logging.WARNING)
        if not self._announced:
            print_log(f'{type(self).__name__} over {len(results)} pictures. Protocol:\n{self.protocol}',
                      logger='current')
            self._announced = True
        if self.csv_path is not None:
            stream = io.StringIO()
            writer = csv.DictWriter(stream, ['name', *keys], lineterminator='\n')
            writer.writeheader()
            writer.writerows(self.per_image)
            write_bytes(self.csv_path, stream.getvalue().encode())
        return {**metrics, **skipped}

    @staticmethod
    def _need(sample: dict, key: str, name: str) -> Any:
        value = sample.get(key)
        if value is None:
            raise DataError(f"sample {name} has no '{key}' to measure against; give the data set that folder "
                            '(`data_prefix`), load and pack the picture, or choose another key in the metric')
        return value

    def _prediction(self, sample: dict, name: str, channels: Sequence[int] | None = (1, 3)) -> np.ndarray:
        output = sample.get('output')
        value = output.get(self.prediction) if isinstance(output, dict) else None
        if value is None:
            value = sample.get(self.prediction)
        if value is None:
            raise DataError(f"sample {name} has no 'output.{self.prediction}'; the model must return it in "
                            "mode='predict', or choose another prediction in the metric")
        return _picture(value, f'output.{self.prediction}', name, channels)


@METRICS.register_module()
class RestorationMetrics(_PerImageMetric):
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

    def _values(self, sample: dict, name: str) -> dict[str, float]:
        target = _eight_bit_range(_picture(self._need(sample, self.reference, name), self.reference, name), self.round)
        pictures = {'': self._prediction(sample, name)}
        if self.compare_input:
            pictures['_input'] = _picture(self._need(sample, 'input', name), 'input', name)
        return {
            f'{metric}{suffix}': RESTORATION_METRICS[metric][0](_eight_bit_range(picture, self.round), target,
                                                               self.crop_border)
            for metric in self.metrics for suffix, picture in pictures.items()
        }


@METRICS.register_module()
class FusionMetrics(_PerImageMetric):
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
                  f"'{self.infrared}', toolkit defects {'kept' if self.published else 'mended'}, mean of the values "
                  'per picture')
        return '\n'.join([shared, *(f'  {m}: {FUSION_METRICS[m].protocol}' for m in self.metrics)])

    def _values(self, sample: dict, name: str) -> dict[str, float]:
        pictures = [_eight_bit_range(self._prediction(sample, name), True)]
        for key in (self.infrared, self.visible):
            pictures.append(_eight_bit_range(_picture(self._need(sample, key, name), key, name), True))
        return fusion_metrics(*pictures, metrics=self.metrics, published=self.published)
