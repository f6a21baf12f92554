"""Learning-rate schedules that MMEngine and mmdet do not have."""

from __future__ import annotations

import math
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from ..errors import ConfigError
from ..registry import PARAM_SCHEDULERS


def warm_cosine(step: float, total: float, warmup: float, constant: float, lr: float, least: float,
                start: float) -> float:
    """Value of a quadratic warm-up, half a cosine and a constant end.

    Args:
        step: from 0 on.
        total: number of steps.
        warmup: steps of the warm-up; its last value is ``lr``.
        constant: steps at the end with the value ``least``.
        lr: highest value.
        least: lowest value after the warm-up.
        start: value of step 0.
    """
    if step <= warmup:
        return start + (lr - start) * (step / warmup)**2
    if step >= total - constant:
        return least
    return least + 0.5 * (lr - least) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup - constant)))


@PARAM_SCHEDULERS.register_module()
class WarmCosineLR(LRSchedulerMixin, _ParamScheduler):
    """The schedule with which TogetherNet was published: quadratic warm-up, cosine, constant end.

    The published code sets it once an epoch.  With ``convert_to_iter_based`` it changes at every iteration.

    Args:
        optimizer: as every scheduler.
        end: steps in all (epochs, or iterations with ``by_epoch=False``).
        warmup: steps of the warm-up; a tenth of all, but at least 1 and at most 3, if None.
        constant: steps at the end with the least rate; 0.3 of all, but at least 1 and at most 15, if None.
        warmup_ratio: first rate, as a part of the highest one, which is the optimizer's.
        least_ratio: rate at the end, as a part of the highest one.
        floor: no less than this are the first and the last rate.
        begin: must be 0.
        last_step: as every scheduler.
        by_epoch: as every scheduler.
        verbose: as every scheduler.

    Raises:
        ConfigError: ``end`` is missing, or warm-up and end leave nothing between them.
    """

    def __init__(self, optimizer: Any, end: int = INF, warmup: float | None = None, constant: float | None = None,
                 warmup_ratio: float = 0.1, least_ratio: float = 0.01, floor: float = 1e-6, begin: int = 0,
                 last_step: int = -1, by_epoch: bool = True, verbose: bool = False) -> None:
        self.warmup, self.constant = _lengths(end, warmup, constant)
        if end == INF or begin:
            raise ConfigError("WarmCosineLR (param_scheduler) needs 'end', the number of steps in all, and begins at 0")
        if self.warmup <= 0 or self.constant < 0 or self.warmup + self.constant >= end:
            raise ConfigError(f'WarmCosineLR (param_scheduler): warmup={self.warmup:g} and constant={self.constant:g} '
                              f'must be positive and together less than end={end}')
        self.warmup_ratio, self.least_ratio, self.floor = warmup_ratio, least_ratio, floor
        super().__init__(optimizer, begin=begin, end=end, last_step=last_step, by_epoch=by_epoch, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(cls, *args: Any, end: int = INF, warmup: float | None = None,
                              constant: float | None = None, by_epoch: bool = True, epoch_length: int | None = None,
                              **kwargs: Any) -> WarmCosineLR:
        """The same schedule counted in iterations; lengths are those of the epochs."""
        if not by_epoch or not epoch_length:
            raise ConfigError('WarmCosineLR (param_scheduler): convert_to_iter_based needs by_epoch=True')
        warmup, constant = _lengths(end, warmup, constant)
        return cls(*args, end=end if end == INF else end * epoch_length, warmup=warmup * epoch_length,
                   constant=constant * epoch_length, by_epoch=False, **kwargs)

    def _get_value(self) -> list[float]:
        return [warm_cosine(self.last_step, self.end, self.warmup, self.constant, lr,
                            max(self.least_ratio * lr, self.floor), max(self.warmup_ratio * lr, self.floor))
                for lr in self.base_values]


def _lengths(end: int, warmup: float | None, constant: float | None) -> tuple[float, float]:
    return (min(max(0.1 * end, 1), 3) if warmup is None else warmup,
            min(max(0.3 * end, 1), 15) if constant is None else constant)
