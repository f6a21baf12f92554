"""Mean intersection over union by day, by night and of both, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmseg.evaluation.metrics import IoUMetric
from prettytable import PrettyTable

from mmweather.errors import ConfigError
from mmweather.registry import METRICS


@METRICS.register_module()
class DomainIoUMetric(IoUMetric):
    """mmseg's IoU of each domain, of their mean and of all pixels together.

    Pixels are pooled within a domain. A class that is neither predicted nor labelled has no value and is left out of
    means. Results, in per cent: ``mIoU_<domain>`` of each; ``mIoU``, the mean over the classes of the domains' mean
    IoU of a class, which is HeatNet's combined score; ``mIoU_pooled``, of all pixels of all domains.

    The published protocol of HeatNet: 12 classes have a score, the 13th (background) is a class that is labelled and
    can be predicted wrongly but has none itself; pixels labelled as ignored do not count.

    Args:
        domains: names that the metainfo's ``domain`` takes; samples that do not say one count as the first.
        scored: which classes count: a number (the first ones), a list of ids, or None for all.
        prediction_map: class of each predicted class, where the network's classes are not the data set's.
        **kwargs: of mmseg's ``IoUMetric``, as ``ignore_index`` and ``prefix``.

    Raises:
        ConfigError: a class that counts is none of the data set.
    """

    default_prefix = ''

    def __init__(self, domains: Sequence[str] = ('day', 'night'), scored: int | Sequence[int] | None = None,
                 prediction_map: Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domains = tuple(domains)
        self.scored = scored
        self.prediction_map = None if prediction_map is None else torch.tensor(list(prediction_map))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of one batch."""
        count = len(self.dataset_meta['classes'])
        for sample in data_samples:
            domain = sample.get('domain', self.domains[0])
            if domain not in self.domains:
                raise ConfigError(f"DomainIoUMetric: sample '{sample.get('img_path', '?')}' is of domain '{domain}', "
                                  f"which is not among {', '.join(self.domains)}")
            predicted = sample['pred_sem_seg']['data'].squeeze()
            if self.prediction_map is not None:
                predicted = self.prediction_map.to(predicted.device)[predicted.long()]
            if self.format_only:
                continue
            label = sample['gt_sem_seg']['data'].squeeze().to(predicted)
            areas = self.intersect_and_union(predicted, label, count, self.ignore_index)
            self.results.append((self.domains.index(domain), areas[0], areas[1]))
        if self.output_dir is not None:
            counted = list(self.results)
            super().process(data_batch, data_samples)  # writes the pictures, and counts once more
            self.results[:] = counted

    def class_ious(self, results: Sequence[tuple]) -> dict[str, np.ndarray]:
        """IoU of each scored class in [0, 1] by domain, NaN where it is not there; ``'pooled'`` of all pixels."""
        count = len(self.dataset_meta['classes'])
        chosen = range(count) if self.scored is None else (
            range(self.scored) if isinstance(self.scored, int) else self.scored)
        if not chosen or not 0 <= min(chosen) <= max(chosen) < count:
            raise ConfigError(f'DomainIoUMetric: scored must name some of the {count} classes, got {self.scored}')

        def ratio(rows: Sequence[tuple]) -> np.ndarray:
            if not rows:
                return np.full(len(chosen), np.nan)
            inter, union = (sum(row[i].double() for row in rows).numpy()[list(chosen)] for i in (1, 2))
            return np.divide(inter, union, out=np.full(len(union), np.nan), where=union > 0)

        ious = {name: ratio([row for row in results if row[0] == i]) for i, name in enumerate(self.domains)}
        return {**ious, 'pooled': ratio(results)}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores; a table of all classes goes to the log."""
        if self.format_only:
            return super().compute_metrics(results)
        ious = self.class_ious(results)
        names = np.array(self.dataset_meta['classes'])[
            slice(self.scored) if self.scored is None or isinstance(self.scored, int) else list(self.scored)]
        present = np.stack([ious[domain] for domain in self.domains if not np.isnan(ious[domain]).all()] or
                           [ious['pooled']])
        known = ~np.isnan(present)
        combined = np.divide(np.where(known, present, 0).sum(0), known.sum(0), out=np.full(present.shape[1], np.nan),
                             where=known.any(0))
        table = PrettyTable(['class', *ious, 'mean'])
        for i, name in enumerate(names):
            table.add_row([name, *(f'{100 * value[i]:.2f}' for value in ious.values()), f'{100 * combined[i]:.2f}'])
        print_log('IoU per class:\n' + table.get_string(), 'current')
        scores = {'mIoU': combined, **{f'mIoU_{name}': value for name, value in ious.items()}}
        return {name: float(100 * np.nanmean(value)) if not np.isnan(value).all() else float('nan')
                for name, value in scores.items()}
