"""What metrics of images share: reading the evaluator's dicts, averaging over images, the CSV file."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmweather.errors import DataError
from mmweather.utils.atomic import write_bytes


def as_image(value: Any, what: str, sample: str, channels: Sequence[int] | None = (1, 3)) -> np.ndarray:
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


def clipped(image: np.ndarray, rounded: bool) -> np.ndarray:
    """Clip to [0, 255] and, if asked, round to whole numbers, as storing the picture would."""
    if image.dtype == np.uint8 or not np.isfinite(image).all():
        return image  # what is not finite is left for the metric to report
    image = np.clip(image.astype(np.float64), 0, 255)
    return np.rint(image) if rounded else image


class PerImageMetric(BaseMetric):
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

    def values_of(self, sample: dict, name: str) -> dict[str, float]:
        """Return the values of one sample by metric; ``name`` is the sample's, for messages."""
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
                values = self.values_of(sample, name)
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
    def need(sample: dict, key: str, name: str) -> Any:
        """Return an entry of a sample.

        Raises:
            DataError: the sample lacks it.
        """
        value = sample.get(key)
        if value is None:
            raise DataError(f"sample {name} has no '{key}' to measure against; give the data set that folder "
                            '(`data_prefix`), load and pack the picture, or choose another key in the metric')
        return value

    def predicted(self, sample: dict, name: str, channels: Sequence[int] | None = (1, 3)) -> np.ndarray:
        """Return the model's output of a sample; see :func:`as_image`.

        Raises:
            DataError: the sample lacks it, or its shape is wrong.
        """
        output = sample.get('output')
        value = output.get(self.prediction) if isinstance(output, dict) else None
        if value is None:
            value = sample.get(self.prediction)
        if value is None:
            raise DataError(f"sample {name} has no 'output.{self.prediction}'; the model must return it in "
                            "mode='predict', or choose another prediction in the metric")
        return as_image(value, f'output.{self.prediction}', name, channels)
