"""The memory of detectors and segmentors, checked before they run."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..memory import check_memory
from ..restore import autocast, device_of


def check_step(model: nn.Module, remedy: str, data: dict[str, list[Any]], size: Sequence[int],
               dtype: str | None) -> None:
    """Refuse a batch that the memory is too small for.

    Args:
        model: of mmdet or mmseg.
        remedy: what the user can do, for the message.
        data: ``inputs`` and ``data_samples``, as the model's ``test_step`` takes them.
        size: height and width of the pictures as given; the results have it.
        dtype: precision by name.

    Raises:
        DataError: see :func:`~mmweather.apis.memory.check_memory`.
    """
    device = device_of(model)
    step: Any = model.test_step
    shapes = tuple(tuple(tensor.shape) for tensor in data['inputs'])

    def run(height: int, width: int) -> Any:
        with autocast(dtype, device):
            samples = copy.deepcopy(data['data_samples'])
            return step({'inputs': list(data['inputs']), 'data_samples': samples})

    largest = max((tuple(size), *(shape[-2:] for shape in shapes)), key=lambda sides: sides[0] * sides[1])
    check_memory(model, (dtype, shapes, tuple(size)), run, (largest[0], largest[1]), len(shapes), device,
                 lambda fits: remedy, by_fit=False)
